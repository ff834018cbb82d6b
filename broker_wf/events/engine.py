"""Events that the engine makes. Annotations are no texts here: ``broker_wf.events``, their home, has not all names."""

from datetime import datetime
from enum import Enum

from pydantic import Field

from broker_wf.events import Event, StopEvent
from broker_wf.events.nested import SerializableEvent, SerializableException

__all__ = [
    "CollectionReleaseEvent",
    "IdleReleasedEvent",
    "InternalDispatchEvent",
    "ProgressEvent",
    "StepFailedEvent",
    "StepState",
    "StepStateChanged",
    "UnhandledEvent",
    "WorkflowCancelledEvent",
    "WorkflowFailedEvent",
    "WorkflowIdleEvent",
    "WorkflowTimedOutEvent",
]


class WorkflowTimedOutEvent(StopEvent):
    """Last event of a run that took longer than its timeout.

    Attributes:
        timeout: in seconds.
        active_steps: names of the steps that were executing.
    """

    timeout: float
    active_steps: list[str]


class WorkflowCancelledEvent(StopEvent):
    """Last event of a run that was cancelled."""


class WorkflowFailedEvent(StopEvent):
    """Last event of a run that failed.

    Attributes:
        attempts: how often the step was tried; None if no step is to blame.
        elapsed_seconds: from the first attempt to the last failure, or None.
    """

    step_name: str
    exception: SerializableException
    attempts: int | None = None
    elapsed_seconds: float | None = None


class IdleReleasedEvent(StopEvent):
    """Result of a run that was released while idle; it is not published."""


class CollectionReleaseEvent(Event):
    """The members a ``list[E]`` step was started with; ``input_event`` when such a step fails.

    Attributes:
        stream_id: of the collection.
        binding_id: of the step that takes it.
    """

    events: list[SerializableEvent] = Field(default_factory=list[Event])
    stream_id: str = ""
    binding_id: str = ""


class StepFailedEvent(Event):
    """What a ``@catch_error`` handler takes: a step that has no attempts left.

    Attributes:
        input_event: the event the step was given.
        elapsed_seconds: from the first attempt to the last failure.
        failed_at: with time zone UTC.
    """

    step_name: str
    input_event: SerializableEvent
    exception: SerializableException
    attempts: int
    elapsed_seconds: float
    failed_at: datetime


class ProgressEvent(Event):
    """How far a step has come; published by ``ctx.progress``.

    Attributes:
        total: what ``done`` goes up to; None: not known.
    """

    step: str
    done: int | float
    total: int | float | None = None
    text: str = ""


class InternalDispatchEvent(Event):
    """Base of the events that a stream shows only with ``expose_internal=True``."""


class WorkflowIdleEvent(InternalDispatchEvent):
    """The run has nothing queued, executing or due; it waits for an event from outside."""


class UnhandledEvent(InternalDispatchEvent):
    """An event matched no step and no waiter."""

    event_type: str = Field(description="Class name of the unhandled event.")
    qualified_name: str = Field(description="Module and class name of the unhandled event.")
    step_name: str | None = Field(default=None, description="The step it was addressed to, if any.")
    idle: bool = Field(description="Whether the run is idle after it.")


class StepState(Enum):
    """Where an execution stands."""

    PREPARING = "preparing"
    """Queued: no place is free."""
    RUNNING = "running"
    NOT_RUNNING = "not_running"


class StepStateChanged(InternalDispatchEvent):
    """An execution was queued, began or ended."""

    name: str = Field(description="The step.")
    step_state: StepState = Field(description="Where the execution stands now.")
    worker_id: str = Field(description="Who executes it; `<enqueued>` while nobody does.")
    input_event_name: str = Field(description="The event it was given.")
    output_event_name: str | None = Field(default=None, description="The event it returned.")


for _name in __all__:  # The names under which they are known: to pickles, in saved contexts and on the wire.
    globals()[_name].__module__ = "broker_wf.events"

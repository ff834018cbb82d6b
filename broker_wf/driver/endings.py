"""How a run ended, in a driver's terms: the stop event, or the exception to raise, or the feed's last event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.notes import NOTES, events_of_notes
from broker_wf.broker.packing import unpack_text
from broker_wf.broker.runs import RunState
from broker_wf.errors import (
    DecodeError,
    NoWorkerForStepError,
    PoisonError,
    WorkflowCancelledByUser,
    WorkflowRuntimeError,
    WorkflowTimeoutError,
)
from broker_wf.events import (
    Event,
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from broker_wf.wire.blobs import Fetched
from broker_wf.wire.codec import Codec
from broker_wf.wire.remote_errors import decode_error


def stop_event_of(state: RunState, codec: Codec, blobs: Fetched) -> StopEvent:
    """The event that ended a run.

    Args:
        blobs: what its result refers to.

    Raises:
        WorkflowTimeoutError, WorkflowCancelledByUser, PoisonError, or the step's own exception: it ended badly.
        DecodeError: its result is of a class not known here.
    """
    if state.status != "completed":
        raise error_of(state, codec)
    event = codec.decode_event(state.result, blobs)
    if not isinstance(event, StopEvent):
        raise DecodeError("the run's result", f"it is {type(event).__name__}, no StopEvent")
    return event


def error_of(state: RunState, codec: Codec) -> Exception:
    """Why a run ended badly."""
    if state.status == "cancelled":
        return WorkflowCancelledByUser()
    if state.error.startswith(b"!"):
        return _engine_error(unpack_text(state.error[1:]))
    return decode_error(unpack_text(state.error), codec.registry.errors)


def event_of(entry: FeedEntry, codec: Codec, blobs: Fetched) -> Event:
    """An entry of a feed as an event.

    Args:
        blobs: what it refers to.

    Raises:
        DecodeError: it is of a class not known here.
    """
    if not entry.name.startswith("!"):
        return codec.decode_event(entry.payload, blobs)
    record = unpack_text(entry.payload) if entry.payload else {}
    if entry.name == "!cancelled":
        return WorkflowCancelledEvent()
    if entry.name == "!timed_out":
        return WorkflowTimedOutEvent(timeout=cast(int, record["timeout_ms"]) / 1000, active_steps=_steps(record))
    error = _engine_error(record)
    return WorkflowFailedEvent(step_name=entry.step, exception=error)


def events_of(entry: FeedEntry, codec: Codec, blobs: Fetched) -> Sequence[Event]:
    """The events of an entry: one, or what one script has to say of the engine.

    Raises:
        DecodeError: it is of a class not known here.
    """
    if entry.name == NOTES:
        return events_of_notes(entry.payload)
    return (event_of(entry, codec, blobs),)


def is_last(event: Event) -> bool:
    """Whether nothing follows this event in its feed."""
    return isinstance(event, StopEvent)


def _engine_error(record: Mapping[str, object]) -> Exception:
    match cast(str, record["kind"]):
        case "timeout":
            return WorkflowTimeoutError(_timeout_text(record))
        case "poison":
            crashes = cast(int, record["crashes"])
            workers = tuple(cast("list[str]", record.get("workers") or ()))
            return PoisonError(cast(str, record["step"]), cast(str, record["delivery"]), crashes, workers)
        case "no_worker":
            workflow, step, digest = (cast(str, record[name]) for name in ("workflow", "step", "digest"))
            return NoWorkerForStepError(workflow, step, digest)
        case "stuck":
            return WorkflowRuntimeError(
                "Workflow is idle but collection streams are still open, so the run can never complete: "
                + ", ".join(cast("list[str]", record["collections"]))
            )
        case "orphaned":
            return WorkflowRuntimeError("the process that executed the run has gone and nobody resumed the run in time")
        case kind:
            return WorkflowRuntimeError(f"the run was ended: {kind}")


def _timeout_text(record: Mapping[str, object]) -> str:
    timeout_s = cast(int, record["timeout_ms"]) / 1000
    steps = _steps(record)
    active = f"Currently active steps: {', '.join(steps)}" if steps else "No steps active"
    return f"Operation timed out after {timeout_s:g} seconds. {active}"


def _steps(record: Mapping[str, object]) -> list[str]:
    return list(cast("list[str]", record["steps"] or []))

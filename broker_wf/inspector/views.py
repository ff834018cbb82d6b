"""The answers: the same records for the command line, an HTTP server and a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import cast


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run in a list.

    Attributes:
        status: running, completed, failed, cancelled or timed_out; queued while it waits for its turn among the
            ``num_concurrent_runs`` of its workflow.
        started_at: when its first delivery was claimed; None: it waits for a worker.
        cursor: goes into ``before`` to ask for what follows this run in the list.
        tags: it was started with.
        begins_at: when a run that was put off begins; None: it was not, or has begun.
        priority: high, normal or low.
        fairness_key: with which it waits for its turn; None: it has none.
        error: class and text of what it failed or timed out with, at most 300 characters.
    """

    run_id: str
    workflow: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cursor: str
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    begins_at: datetime | None = None
    priority: str = "normal"
    fairness_key: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """Why a run or an attempt ended badly.

    Attributes:
        type: qualified name of the exception class; ours where the engine ended the run.
        step: that failed; None where no single step did.
        attempts: how many it had; None where that does not apply.
        traceback: as printed where it was raised; empty if there is none.
    """

    type: str
    message: str
    step: str | None
    attempts: int | None
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCounts:
    """Deliveries of one step of a run, by state.

    Attributes:
        waiting: parked until an answer comes.
        held: held back by the step's ``num_workers_per_run``.
        backlog: beyond the dispatch window, among the first 1,000 of each list of the backlog.
    """

    step: str
    queued: int = 0
    leased: int = 0
    delayed: int = 0
    waiting: int = 0
    held: int = 0
    backlog: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """A live delivery.

    Attributes:
        state: queued, leased, delayed or waiting.
        worker: that holds it; None unless leased.
        started_at: of this attempt; None unless leased.
        due_at: end of the lease, or when it is tried again.
        last_error: why the attempt before failed.
    """

    id: str
    step: str
    event: str
    state: str
    attempt: int
    crashes: int
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    due_at: datetime | None
    last_error: ErrorView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """All about one run.

    Attributes:
        deadline_at: when it times out; None: it has no timeout, or has not started.
        unserved_at: since when no live worker has its version while others have another; None: that is not so.
        result: plain data; only if completed. Bare for a plain StopEvent, else the stop event's fields.
        result_type: class name of the stop event.
        done: deliveries that have ended.
        backlog: deliveries beyond the dispatch window.
        rerun_of: the run that this one does again.
        rerun_as: the last run that does this one again.
        unfinished: steps from which it can be done again without what was finished; only of one that failed,
            timed out or was cancelled.
        tags: it was started with.
        begins_at: when a run that was put off begins; None: it was not, or has begun.
        priority: high, normal or low.
        fairness_key: with which it waits for its turn; None: it has none.
        keeps_steps: what became of its steps is kept, so that it can be done again from one of them.
    """

    run_id: str
    workflow: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime | None
    unserved_at: datetime | None
    digest: str
    lane: str
    result: object
    result_type: str | None
    error: ErrorView | None
    done: int
    backlog: int
    steps: tuple[StepCounts, ...]
    deliveries: tuple[DeliveryView, ...]
    rerun_of: str | None = None
    rerun_as: str | None = None
    unfinished: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    begins_at: datetime | None = None
    priority: str = "normal"
    fairness_key: str | None = None
    keeps_steps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitView:
    """What a step of a live run waits for (``wait_for_event``), or a run that has nothing to do until an event comes.

    Attributes:
        step: that waits; of a run that has nothing to do the one that has asked, empty if none has.
        delivery: of the step that waits; empty for a run that has nothing to do.
        waiter_id: as the step gave it; None: it gave none.
        events: names of the events of which one is an answer. Not known of a run that has nothing to do, if its
            workflow has only run in process.
        requires: names of the fields in which the answer must have a certain value.
        question_type: class of the ``waiter_event``, or of the last ``InputRequiredEvent`` that was returned; None:
            there is none, or the feed no longer has it.
        question: its fields, plain data.
        asked_at: when it was published; None with ``question_type``.
        due_at: when the wait times out; None: never.
    """

    run_id: str
    workflow: str
    step: str
    delivery: str
    waiter_id: str | None
    events: tuple[str, ...]
    requires: tuple[str, ...]
    question_type: str | None
    question: object
    asked_at: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionView:
    """One delivery of a run as a row of its waterfall.

    Attributes:
        state: done, or that of a live delivery.
        outcome: ok, ended (the run), failed or poison; None while live.
        started_at: of its last attempt; None if it waits.
    """

    delivery: str
    step: str
    state: str
    outcome: str | None
    attempt: int
    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One event of a run's feed.

    Attributes:
        seq: from 1, without gaps.
        type: its class.
        value: its fields, plain data.
        step: that published it; None: none did.
        attempt, worker: of the step.
    """

    seq: int
    type: str
    value: object
    step: str | None
    at: datetime
    attempt: int | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """One line that a step of a run has logged.

    Attributes:
        cursor: goes into ``after`` to ask for the lines behind it.
        at: by the worker's clock.
        text: the message, and the traceback behind it.
    """

    cursor: str
    at: datetime
    level: str
    logger: str
    step: str
    attempt: int
    worker: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker that is alive.

    Attributes:
        running: deliveries it executed at its last heartbeat.
        done: deliveries it has executed in its life.
    """

    id: str
    host: str
    pid: int
    workflows: tuple[str, ...]
    concurrency: int
    running: int
    done: int
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """The server as it describes itself.

    Attributes:
        url: without its password.
        max_memory_bytes: 0: no limit.
        log: state of the append-only file: ``on``, ``off`` or ``failing``.
    """

    url: str
    name: str
    version: str
    uptime_s: int
    used_memory_bytes: int
    max_memory_bytes: int
    clients: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """A workflow's load.

    Attributes:
        class_path: None: it was submitted to but no worker has served it yet.
        workers: how many serve it.
        waiting: deliveries in streams that nobody has taken; an upper bound for events several steps take.
        running: deliveries in the hands of workers.
        oldest_waiting_ms: age of the delivery that has waited longest; None: nothing waits.
        max_runs: how many of its runs go on at one time (``num_concurrent_runs``); None: any number.
        limits: of each step with ``num_workers``, how many of its deliveries run at one time on all workers together.
    """

    workflow: str
    class_path: str | None
    digest: str | None
    workers: int
    live_runs: int
    ended_runs: int
    waiting: int
    running: int
    oldest_waiting_ms: int | None
    max_runs: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """A namespace at one glance."""

    namespace: str
    server: ServerView
    workers: tuple[WorkerView, ...]
    workflows: tuple[WorkflowView, ...]
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnservedView:
    """Live runs of one version of a workflow that no live worker can execute.

    Attributes:
        digest: the version they began with.
        has_workers: whether the workflow has workers, of other versions; such runs fail after ``skew_timeout_ms``.
        oldest_at: when the first of them was accepted.
        examples: a few of their ids.
    """

    workflow: str
    digest: str
    has_workers: bool
    runs: int
    oldest_at: datetime
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterView:
    """A delivery, or bytes, that were given up on.

    Attributes:
        id: of the entry among the dead letters.
        kind: malformed, undecodable or poison.
        facts: what else is known of it, plain data.
    """

    id: str
    kind: str
    at: datetime
    run_id: str | None
    delivery: str | None
    workflow: str | None
    step: str | None
    event: str | None
    reason: str
    facts: Mapping[str, object]


View = (
    RunSummary
    | RunView
    | WaitView
    | ExecutionView
    | EventView
    | LogView
    | WorkerView
    | StatusView
    | WorkflowView
    | UnservedView
    | DeadLetterView
)


def as_dict(view: View) -> dict[str, object]:
    """A view as JSON has it: moments as ISO 8601 in UTC, everything else as it is."""
    return cast("dict[str, object]", _jsonable(view))


def _jsonable(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [_jsonable(item) for item in cast("tuple[object, ...]", value)]
    return value


def moment(ms: int) -> datetime:
    """Milliseconds since 1970 as a moment in UTC."""
    return datetime.fromtimestamp(ms / 1000, timezone.utc)

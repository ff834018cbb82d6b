"""What the scripts keep of a run, as views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.notes import NOTES, events_of_notes
from broker_wf.broker.packing import unpack
from broker_wf.errors import (
    NoWorkerForStepError,
    PoisonError,
    WorkflowCancelledByUser,
    WorkflowRuntimeError,
    WorkflowTimeoutError,
)
from broker_wf.inspector.plain import plain_event
from broker_wf.inspector.replies import text
from broker_wf.inspector.views import (
    DeliveryView,
    ErrorView,
    EventView,
    ExecutionView,
    StepCounts,
    moment,
)
from broker_wf.wire.blobs import Fetched

Record = Mapping[str, object]

_STATES = {"q": "queued", "l": "leased", "d": "delayed", "w": "waiting"}
_ENGINE_ERRORS: Mapping[str, type[Exception]] = {
    "timeout": WorkflowTimeoutError,
    "poison": PoisonError,
    "no_worker": NoWorkerForStepError,
}


def record_of(raw: bytes) -> Record:
    """A map that a script or a worker has packed; an empty one may come as an empty list."""
    found = unpack(raw)
    pairs = cast("dict[object, object]", found).items() if isinstance(found, dict) else ()
    return {text(key): value for key, value in pairs}


def moment_of(fields: Mapping[str, bytes], name: str) -> datetime | None:
    """A moment in a run's record; None if it is not set."""
    raw = fields.get(name)
    return moment(int(float(raw))) if raw else None


def error_view(status: str, raw: bytes) -> ErrorView | None:
    """Why a run ended badly; None for one that did not."""
    if status == "cancelled":
        return _own_error(WorkflowCancelledByUser, "the run was cancelled", None, None)
    if not raw:
        return None
    return _engine_error(record_of(raw[1:])) if raw.startswith(b"!") else attempt_error(raw)


def attempt_error(raw: bytes) -> ErrorView:
    """An exception of a step, as its worker has packed it."""
    record = record_of(raw)
    return ErrorView(
        type=text(record.get("type", "")),
        message=text(record.get("message", "")),
        step=text(record["step"]) if "step" in record else None,
        attempts=_whole(record.get("attempts")),
        traceback=text(record.get("traceback", "")),
    )


def _own_error(cls: type[Exception], message: str, step: str | None, attempts: int | None) -> ErrorView:
    return ErrorView(
        type=f"{cls.__module__}.{cls.__qualname__}",
        message=message,
        step=step,
        attempts=attempts,
        traceback="",
    )


def _engine_error(record: Record) -> ErrorView:
    kind = text(record.get("kind", ""))
    cls = _ENGINE_ERRORS.get(kind, WorkflowRuntimeError)
    step = text(record["step"]) if "step" in record else None
    return _own_error(cls, _engine_message(kind, record), step, _whole(record.get("crashes")))


def _engine_message(kind: str, record: Record) -> str:
    match kind:
        case "timeout":
            steps = _names(record.get("steps"))
            active = f"active steps: {', '.join(steps)}" if steps else "no step was active"
            timeout_s = (_whole(record.get("timeout_ms")) or 0) / 1000
            return f"the run took longer than {timeout_s:g} seconds; {active}"
        case "poison":
            step, delivery = text(record.get("step", "?")), text(record.get("delivery", "?"))
            workers = f" ({', '.join(_names(record['workers']))})" if record.get("workers") else ""
            return (
                f"step {step!r} was given up after {_whole(record.get('crashes'))} workers{workers} died or froze "
                f"while executing delivery {delivery}"
            )
        case "no_worker":
            step, digest = text(record.get("step", "?")), text(record.get("digest", "?"))
            return f"no live worker had version {digest} of the workflow to execute step {step!r}"
        case "stuck":
            return f"collections are open that can never close: {', '.join(_names(record.get('collections')))}"
        case "orphaned":
            return "the process that executed the run has gone and nobody resumed the run in time"
        case _:
            return f"the engine ended the run: {kind}"


def _names(raw: object) -> list[str]:
    return [text(one) for one in cast("list[object]", raw or [])] if isinstance(raw, list) else []


def _whole(raw: object) -> int | None:
    return int(raw) if isinstance(raw, int | float) else None


def delivery_view(delivery: str, record: Record, due_ms: int | None) -> DeliveryView:
    """A live delivery; ``due_ms`` is when somebody must look at it, if that is known."""
    leased = record.get("st") == b"l"
    started = _whole(record.get("x"))
    error = record.get("g")
    return DeliveryView(
        id=delivery,
        step=text(record["s"]),
        event=text(record.get("t", "")),
        state=_STATES.get(text(record["st"]), text(record["st"])),
        attempt=_whole(record.get("a")) or 1,
        crashes=_whole(record.get("c")) or 0,
        worker=text(record["w"]) if leased and "w" in record else None,
        created_at=moment(_whole(record.get("b")) or 0),
        started_at=moment(started) if leased and started else None,
        due_at=None if due_ms is None else moment(due_ms),
        last_error=attempt_error(error) if isinstance(error, bytes) and error else None,
    )


def live_execution(view: DeliveryView) -> ExecutionView:
    """A live delivery as a row of the waterfall."""
    return ExecutionView(
        delivery=view.id,
        step=view.step,
        state=view.state,
        outcome=None,
        attempt=view.attempt,
        worker=view.worker,
        started_at=view.started_at,
        ended_at=None,
    )


def done_execution(delivery: str, raw: bytes) -> ExecutionView:
    """A done delivery, from its mark: step, worker, start, end, attempt, outcome, nonce."""
    step, worker, start, end, attempt, outcome = cast("list[object]", unpack(raw))[:6]
    return ExecutionView(
        delivery=delivery,
        step=text(step),
        state="done",
        outcome=text(outcome),
        attempt=_whole(attempt) or 1,
        worker=text(worker) or None,
        started_at=moment(_whole(start) or 0),
        ended_at=moment(_whole(end) or 0),
    )


def done_begin(raw: bytes) -> tuple[str, int]:
    """The step of a done mark, and when it began, in ms."""
    step, _, start = cast("list[object]", unpack(raw))[:3]
    return text(step), _whole(start) or 0


def done_step(raw: bytes) -> str:
    """The step of a done mark."""
    return text(cast("list[object]", unpack(raw))[0])


def backlog_step(item: bytes) -> str:
    """The step of a delivery in the backlog or in a staged list: ``{delivery id, record}``."""
    record = cast("list[dict[bytes, object]]", unpack(item))[1]
    return text(record[b"s"])


@dataclass(slots=True)
class Tally:
    """Deliveries counted by step and state."""

    counts: dict[str, Counter[str]] = field(default_factory=dict[str, "Counter[str]"])

    def add(self, state: str, steps: Iterable[str]) -> None:
        """Count one delivery of each step given."""
        for step in steps:
            self.counts.setdefault(step, Counter())[state] += 1

    def views(self) -> tuple[StepCounts, ...]:
        """The counts, by step."""
        return tuple(StepCounts(step=step, **self.counts[step]) for step in sorted(self.counts))


def event_views(entry: FeedEntry, blobs: Fetched) -> list[EventView]:
    """The events of an entry of a feed: one, or what a script has to say of the engine."""
    if entry.name == NOTES:
        at = moment(entry.at_ms)
        return [
            EventView(seq=entry.seq, type=type(one).__name__, value=one.model_dump(mode="json"), step=None, at=at)
            for one in events_of_notes(entry.payload)
        ]
    return [_event_view(entry, blobs)]


def _event_view(entry: FeedEntry, blobs: Fetched) -> EventView:
    """An entry that holds one event; endings made by the engine get the name of their event."""
    name, value = _ending(entry) if entry.name.startswith("!") else plain_event(entry.payload, entry.name, blobs)
    attempt, _, worker = entry.by.partition(" ")
    return EventView(
        seq=entry.seq,
        type=name,
        value=value,
        step=entry.step or None,
        at=moment(entry.at_ms),
        attempt=int(attempt) if attempt.isdecimal() else None,
        worker=worker or None,
    )


def _ending(entry: FeedEntry) -> tuple[str, object]:
    record: Record = record_of(entry.payload) if entry.payload else {}
    if entry.name == "!cancelled":
        return "WorkflowCancelledEvent", {}
    if entry.name == "!timed_out":
        timeout_s = (_whole(record.get("timeout_ms")) or 0) / 1000
        return "WorkflowTimedOutEvent", {"timeout": timeout_s, "active_steps": _names(record.get("steps"))}
    error = _engine_error(record)
    value = {"step_name": entry.step, "exception": {"type": error.type, "message": error.message}}
    return "WorkflowFailedEvent", value

"""What the engine publishes of itself: notes of a script, as the events that users know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from broker_wf.broker.packing import unpack
from broker_wf.events import InternalDispatchEvent, StepState, StepStateChanged, UnhandledEvent, WorkflowIdleEvent

NOTES = "!internal"
"""Name of the feed's entries that hold notes, see ``lib/notes.lua``."""

_ENQUEUED = "<enqueued>"


def events_of_notes(payload: bytes) -> list[InternalDispatchEvent]:
    """The events of one entry, in order."""
    return [_event(note) for note in cast("list[list[object]]", unpack(payload))]


def _event(note: Sequence[object]) -> InternalDispatchEvent:
    kind, rest = cast(bytes, note[0]), note[1:]
    if kind == b"b":
        return _changed(StepState.RUNNING, rest)
    if kind == b"e":
        return _changed(StepState.NOT_RUNNING, rest)
    if kind == b"p":
        return _changed(StepState.PREPARING, (rest[0], _ENQUEUED, rest[1]))
    if kind == b"u":
        name, qualified, idle = rest
        return UnhandledEvent(event_type=_text(name), qualified_name=_text(qualified), step_name=None, idle=idle == 1)
    return WorkflowIdleEvent()


def _changed(state: StepState, facts: Sequence[object]) -> StepStateChanged:
    step, worker, given, *returned = facts
    output = _class_name(returned[0]) if returned and returned[0] is not None else None
    return StepStateChanged(
        name=_text(step),
        step_state=state,
        worker_id=_text(worker),
        input_event_name=_class_name(given),
        output_event_name=output,
    )


def _class_name(wire_name: object) -> str:
    return _text(wire_name).rpartition(".")[2]


def _text(raw: object) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)

"""What a step is called with: the events of a delivery, decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from typing_extensions import assert_never

from broker_wf.broker.packing import unpack
from broker_wf.core.delivery import Delivery
from broker_wf.core.spec import Intake, StepSpec
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.errors import DecodeError
from broker_wf.events import CollectionReleaseEvent, Event
from broker_wf.wire.blobs import NOTHING_FETCHED
from broker_wf.wire.codec import EVENT
from broker_wf.wire.envelope import refers


async def arguments_of(program: Program, site: Site, step: StepSpec, delivery: Delivery) -> dict[str, object]:
    """The step's event parameters.

    Raises:
        DecodeError: an event cannot be read.
    """
    events = await _events(program, site, step, delivery)
    if step.intake is Intake.COLLECTION:
        return {step.slots[0].parameter: events}
    return {slot.parameter: event for slot, event in zip(step.slots, events, strict=True)}


async def input_event(program: Program, site: Site, step: StepSpec, delivery: Delivery) -> Event:
    """The one event that stands for all a step was called with, afresh: the step may have changed its own.

    Of a list join that is a CollectionReleaseEvent, of a several-parameter join the event that came last.
    """
    events = await _events(program, site, step, delivery)
    match step.intake:
        case Intake.SINGLE:
            return events[0]
        case Intake.SLOTS:
            return events[delivery.last_slot - 1]
        case Intake.COLLECTION:
            return CollectionReleaseEvent(events=events, stream_id=delivery.joins or "", binding_id=step.name)
        case _:
            assert_never(step.intake)


async def _events(program: Program, site: Site, step: StepSpec, delivery: Delivery) -> list[Event]:
    payloads = (delivery.payload,) if step.intake is Intake.SINGLE else await _payloads(site, step, delivery)
    needs_blobs = any(map(refers, payloads))
    blobs = await site.broker.blobs.fetch(delivery.run_id, payloads) if needs_blobs else NOTHING_FETCHED
    codec = program.codec.at(delivery.run_id)
    events = [codec.decode_event(raw, blobs) for raw in payloads]
    if codec.signs:
        _check_taken(step, events)
    return events


def _check_taken(step: StepSpec, events: Sequence[Event]) -> None:
    """Refuse an event of the run that somebody has put where another one was, unless the step takes such events."""
    slots = step.slots if step.intake is Intake.SLOTS else step.slots * len(events)
    for slot, event in zip(slots, events, strict=True):
        if not isinstance(event, slot.types):
            raise DecodeError(EVENT, f"{type(event).__name__} is signed, and step {step.name} takes no such event")


async def _payloads(site: Site, step: StepSpec, delivery: Delivery) -> Sequence[bytes]:
    if step.intake is Intake.SLOTS:
        return cast("list[bytes]", unpack(delivery.payload))
    batch = delivery.batch
    return await site.broker.deliveries.batch(delivery) if batch is None else batch

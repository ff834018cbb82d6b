"""What a worker was handed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from broker_wf.core.ids import CollectionId, DeliveryId, EventName, Fence, Lane, RunId, StepName, WorkflowName


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSnapshot:
    """A collect_events buffer as it stood when the delivery was claimed.

    Attributes:
        counts: how many events of each name wait in it.
        items: the events themselves, ``(delivery id, payload)`` in order of arrival; None where they were not sent
            because the collection could not be complete.
    """

    counts: Mapping[EventName, int]
    items: Mapping[EventName, tuple[tuple[DeliveryId, bytes], ...]] | None

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """Of the events themselves."""
        return tuple(payload for items in (self.items or {}).values() for _, payload in items)


class WaitState(Enum):
    """How a ``wait_for_event`` stands."""

    OPEN = "w"
    ANSWERED = "a"
    TIMED_OUT = "t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """What a delivery has waited for before.

    Attributes:
        answer: the encoded event, once it is answered.
    """

    state: WaitState
    answer: bytes = b""


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Delivery:
    """What a worker holds while its lease lasts.

    Nobody may change one; what type checkers see to is not checked once more for each of its fields, here and in the
    other records that are made for each execution: that takes three times as long as to make one.

    Attributes:
        lane: that of the run, without a digest.
        event: wire name of the event; for a join that of its first slot.
        payload: the encoded event, undecoded; for a several-parameter join the packed list of them.
        attempt: failures so far, plus one. Starts after a crash are counted apart, in ``crashes``.
        fence: the lease's random nonce; every write for this delivery must show it.
        collection: the innermost collection the delivery belongs to.
        joins: None, ``"slots"``, or the collection whose batch the step gets.
        batch: the members' payloads; None if there are more than a claim carries (``batch_size`` of them).
        first_started_ms, started_ms: when the first attempt and this start began, by the server's clock.
        last_error: the encoded error of the attempt before.
        timeout_ms: the run's time began with this claim and ends so much later; 0 if neither.
        recoveries: how often each ``catch_error`` handler was called on the way to this event.
        trace: what the run carries for those who trace its steps.
        last_slot: of a several-parameter join the slot that was filled last, from 1; else 0.
        waiters: what it has waited for so far, by waiter id.
        remembers: it has results of ``Context.once``.
        kept: how many deliveries the worker went on with, one from the other, since it claimed.
        place: which of the step's ``num_workers`` places it holds; None for an unlimited step.
    """

    run_id: RunId
    workflow: WorkflowName
    lane: Lane
    id: DeliveryId
    step: StepName
    event: EventName
    payload: bytes
    attempt: int
    crashes: int
    fence: Fence
    collection: CollectionId | None
    joins: str | None
    batch: tuple[bytes, ...] | None
    batch_size: int
    first_started_ms: int
    started_ms: int
    last_error: bytes | None
    timeout_ms: int
    place: int | None
    buffers: Mapping[str, BufferSnapshot]
    recoveries: Mapping[StepName, int] = field(default_factory=dict[StepName, int])
    last_slot: int = 0
    trace: bytes | None = None
    waiters: Mapping[str, Waiter] = field(default_factory=dict[str, "Waiter"])
    remembers: bool = False
    kept: int = 0

    @property
    def child_base(self) -> str:
        """What the ids of this delivery's children begin with."""
        return short_id(self.id)


def short_id(text: str) -> str:
    """The id itself, or a hash of it where it is longer than 64 characters."""
    if len(text) <= _LONGEST_ID:
        return text
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


_LONGEST_ID = 64

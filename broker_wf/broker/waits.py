"""What deliveries wait for, and what they remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.blobs import BlobStore
from broker_wf.broker.connection import Pipe
from broker_wf.broker.deliveries import Ended, ended_of
from broker_wf.broker.leased import LeasedCall, call_leased, sent_events
from broker_wf.broker.packing import unpack
from broker_wf.broker.plans import Plan, Planned, blobs_of
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import EventId, EventName
from broker_wf.errors import LeaseLostError
from broker_wf.wire.blobs import Blob, Encoded


@dataclass(slots=True, kw_only=True)
class Wait:
    """A call of ``wait_for_event`` that has no answer.

    Attributes:
        names: of the events it takes.
        fields: what the event must have, by hash; an empty hash: only the step can compare.
        timeout_ms: from when it is first registered; None: it waits for ever.
        asks: what is published when it is first registered, and its name.
        seen: events that came before and are not what it wants.
        takes: the one that is.
    """

    id: str
    names: tuple[EventName, ...]
    fields: dict[str, bytes]
    timeout_ms: int | None
    asks: tuple[str, Encoded] | None
    seen: set[EventId] = field(default_factory=set[EventId])
    takes: EventId | None = None

    @property
    def plan(self) -> Plan:
        """As ``suspend.lua`` reads it."""
        told: Plan = {
            "id": self.id,
            "names": list(self.names),
            "fields": self.fields,
            "seen": dict.fromkeys(self.seen, True),
        }
        asks = None if self.asks is None else [self.asks[0], self.asks[1].payload]
        parts = {"timeout_ms": self.timeout_ms, "asks": asks, "takes": self.takes}
        return told | {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """An event that came before its waiter: of which wait it may be the answer."""

    wait: Wait
    event_id: EventId
    payload: bytes


def name_of_once(key: str) -> str:
    """What the result that a delivery remembers under a key is called, and signed as."""
    return f"the result of once({key!r})"


@dataclass(frozen=True, slots=True)
class WaitStore:
    """Park a delivery; remember results of one."""

    pipe: Pipe
    blobs: BlobStore

    async def suspend(
        self,
        delivery: Delivery,
        waits: Sequence[Wait],
        effects: Sequence[Planned],
        *,
        busy: bool,
        sent: Callable[[], None],
    ) -> Ended | list[Early]:
        """Park a delivery until one of its waits is answered or times out. Its place and its lease are free then.

        Returns:
            Events that came before, if the step has to look at them: nothing was written.
        """
        blobs: dict[bytes, Blob] = blobs_of(effects)
        asked = [blob for one in waits if one.asks is not None for blob in one.asks[1].blobs]
        blobs |= {blob.hash: blob for blob in asked}
        plan: Plan = {
            "nonce": delivery.fence,
            "busy": int(busy),
            "effects": [one.plan for one in effects],
            "waits": [one.plan for one in waits],
            "refs": list(blobs),
        }
        call = LeasedCall(
            script="suspend",
            delivery=delivery,
            values=(plan,),
            blobs=tuple(blobs.values()),
            sent=sent,
            events=lambda: sent_events(effects),
        )
        words = await call_leased(self.pipe, self.blobs, call)
        if words[0] != b"EARLY":
            return ended_of(words)
        found = cast("list[tuple[int, bytes, bytes]]", unpack(cast(bytes, words[1])))
        return [Early(wait=waits[n - 1], event_id=EventId(id_.decode()), payload=raw) for n, id_, raw in found]

    async def remember(self, delivery: Delivery, key: str, value: bytes) -> bytes:
        """Keep an encoded result for as long as the delivery lives; the first one of a key stays.

        Returns:
            What is kept.

        Raises:
            LeaseLostError: the delivery is no longer ours, or its run has ended; nothing was written.
        """
        raw = await self.pipe.call(load("once"), delivery.run_id, delivery.id, delivery.fence, key, value)
        words = cast("list[bytes]", raw)
        if words[0] != b"OK":
            raise LeaseLostError(delivery.id)
        return words[1]

    async def remembered(self, delivery: Delivery) -> dict[str, bytes]:
        """All that a delivery remembers, encoded, by key."""
        raw = await self.pipe.command("HGETALL", self.pipe.keys.of("once", delivery.run_id, delivery.id))
        pairs = cast("dict[bytes, bytes]", raw) if isinstance(raw, dict) else _pairs(cast("list[bytes]", raw))
        return {key.decode(): value for key, value in pairs.items()}


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))

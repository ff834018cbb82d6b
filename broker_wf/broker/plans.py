"""The nouns of core in the terms of the scripts: maps for cmsgpack, bytes for events."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, cast

import msgpack

from broker_wf.broker.packing import pack, unpack
from broker_wf.core.commit import Recovery, StepCommit
from broker_wf.core.delivery import BufferSnapshot, Delivery, Waiter, WaitState
from broker_wf.core.ids import CollectionId, DeliveryId, EventName, Fence, Lane, RunId, StepName, WorkflowName
from broker_wf.core.outcome import CollectDecision, Effect, Sent, StateEdit, StateSet, Written
from broker_wf.core.routing import Route
from broker_wf.events import Event
from broker_wf.wire.blobs import Blob
from broker_wf.wire.codec import Codec
from broker_wf.wire.envelope import unsigned

Plan = dict[str, object]


@dataclass(frozen=TYPE_CHECKING, slots=True)
class Planned:
    """A map for a script, and the blobs that the payloads in it refer to; they are written before.

    Attributes:
        event: the one that it hands on, if it does.
    """

    plan: Plan
    blobs: tuple[Blob, ...] = ()
    event: Event | None = None


@dataclass(slots=True)
class _Payloads:
    """Encodes the events of one map and gathers their blobs, each once."""

    codec: Codec
    found: dict[bytes, Blob] = field(default_factory=dict[bytes, Blob])

    def of(self, event: Event) -> bytes:
        payload, blobs = self.codec.encode_event(event)
        for blob in blobs:
            self.found[blob.hash] = blob
        return payload

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return tuple(self.found.values())


@dataclass(slots=True)
class EffectIds:
    """Names effects by their content, so that a restart within one attempt does not repeat them."""

    delivery: Delivery
    _seen: dict[bytes, int] = field(default_factory=dict[bytes, int])

    def next(self, kind: str, target: str, value: bytes) -> str:
        """``<delivery>.<attempt>.<hash>.<nth of that hash>``."""
        # Without its signature: the restart may be where another key comes first.
        content = b"\0".join((kind.encode(), target.encode(), unsigned(value)))
        digest = hashlib.blake2b(content, digest_size=9).digest()
        nth = self._seen[digest] = self._seen.get(digest, 0) + 1
        return f"{self.delivery.child_base}.{self.delivery.attempt}.{digest.hex()}.{nth}"

    def next_edit(self, place: str) -> str:
        """The id of the next edit made at a place in the code, whether it changes something or not."""
        return self.next("edit", place, b"")


def route_map(route: Route) -> Plan:
    """A route as ``lib/emit.lua`` reads it."""
    plan: Plan = {
        "to": list(route.to),
        "slots": [[slot.step, slot.index, slot.count, slot.event] for slot in route.slots],
        "into": list(route.into),
    }
    if route.limits:
        plan["limits"] = dict(route.limits)
    if route.lost is not None:
        plan["lost"] = list(route.lost)
    if route.only is not None:
        plan["only"] = route.only
    if route.is_empty and route.is_answer:
        plan["keep"] = True
    return plan


def effect_map(effect: Effect, ids: EffectIds, codec: Codec) -> Planned:
    """An effect as ``lib/effects.lua`` reads it.

    An edit is known by the keys it changes and not by their values: what it read is already changed by the edit that
    a restart must not repeat.

    Raises:
        EncodeError, LimitExceededError: the event cannot travel.
    """
    match effect:
        case Sent(event=event, route=route):
            payload, blobs = codec.encode_event(event)
            target = ",".join((*route.to, *(s.step for s in route.slots)))
            plan: Plan = {
                "kind": "send",
                "id": ids.next("send", target, payload),
                "name": route.name,
                "payload": payload,
                "routes": packed_routes((route,)),
            }
            return Planned(plan, blobs, event)
        case Written(event=event):
            payload, blobs = codec.encode_event(event)
            plan = {
                "kind": "write",
                "id": ids.next("write", "", payload),
                "name": type(event).__name__,
                "payload": payload,
            }
            return Planned(plan, blobs)
        case StateSet(key=key, value=value, version=version):
            plan = {"kind": "set", "id": ids.next("set", key, value), "key": key, "value": value}
            return Planned(plan if version is None else {**plan, "version": version})
        case StateEdit(token=token, place=place, sets=sets, removed=removed):
            plan = {
                "kind": "edit",
                "id": ids.next_edit(place),
                "token": token,
                "sets": [[key, value] for key, value in sets.items()],
                "dels": list(removed),
            }
            return Planned(plan)


def decision_map(decision: CollectDecision, payloads: _Payloads) -> Plan:
    """A collect_events decision as ``lib/buffers.lua`` reads it."""
    return {
        "buffer": decision.buffer,
        "name": decision.name,
        "payload": b"" if decision.fire else payloads.of(decision.event),
        "want": dict(decision.want),
        "fire": decision.fire,
        "used": {name: [first, count] for name, (first, count) in decision.used.items()},
    }


def commit_map(commit: StepCommit, effects: Sequence[Planned], codec: Codec) -> Planned:
    """A commit as ``commit.lua`` reads it; emissions in full.

    Raises:
        EncodeError, LimitExceededError: an event cannot travel.
    """
    payloads = _Payloads(codec, blobs_of(effects))
    plan: Plan = {
        "nonce": commit.delivery.fence,
        "effects": [one.plan for one in effects],
        "decisions": [decision_map(one, payloads) for one in commit.decisions],
        "routes": packed_routes([e.route for e in commit.emissions]),
        "emits": [[e.id, e.route.name, payloads.of(e.event)] for e in commit.emissions],
    }
    if commit.asked:
        plan["asked"] = [[event_label(event), payloads.of(event)] for event in commit.asked]
    if commit.opening is not None:
        joins = [[join.step, join.take, join.event] for join in commit.opening.joins]
        plan["opens"] = {"id": commit.opening.id, "joins": joins}
    if commit.stop is not None:
        payload = payloads.of(commit.stop)
        plan["ends"] = {
            "status": "completed",
            "result": payload,
            "name": event_label(commit.stop),
            "payload": payload,
        }
    return Planned(plan, payloads.blobs)


def recovery_map(recovery: Recovery, codec: Codec) -> tuple[list[object], tuple[Blob, ...]]:
    """What a handler gets, as ``fail.lua`` reads it, and the blobs it refers to.

    Raises:
        EncodeError, LimitExceededError: the event cannot travel.
    """
    emission, (payload, blobs) = recovery.emission, codec.encode_event(recovery.emission.event)
    routes = packed_routes((emission.route,))
    return [emission.id, emission.route.name, payload, routes, dict(recovery.counts)], blobs


def blobs_of(planned: Iterable[Planned]) -> dict[bytes, Blob]:
    """The blobs of several maps, each once."""
    return {blob.hash: blob for one in planned for blob in one.blobs}


def packed_routes(routes: Iterable[Route]) -> bytes:
    """Each route once, by the name of its event: packed, for scripts remember it as it is."""
    each = {route.name: route for route in routes}
    return b"".join((_heads(len(each)), *map(_packed_route, each.values())))


@cache
def _heads(count: int) -> bytes:
    return msgpack.Packer().pack_map_header(count)  # pyright: ignore[reportReturnType]


_PACKED: dict[int, tuple[Route, bytes]] = {}
_MOST_PACKED = 10_000


def _packed_route(route: Route) -> bytes:
    """Its name and what stands under it. A router has one object for each route."""
    found = _PACKED.get(id(route))
    if found is None:
        if len(_PACKED) >= _MOST_PACKED:
            _PACKED.clear()
        found = _PACKED[id(route)] = route, pack(route.name) + pack(route_map(route))
    return found[1]


def event_label(event: Event) -> str:
    """The name under which the feed shows an event."""
    return type(event).__name__


def delivery_of(raw: Mapping[bytes, object], fence: Fence, kept: int = 0) -> Delivery:
    """One element of a claim's reply, or what a commit's reply leaves to its worker."""
    # Made for each execution: what most of them do not have is not looked at twice.
    given = cast("Mapping[bytes, bytes]", raw)
    record = cast("Mapping[bytes, object]", unpack(given[b"c"]))
    text, number, either = cast("Mapping[bytes, bytes]", record), cast("Mapping[bytes, int]", record), raw.get
    collection, joins, recoveries = text.get(b"m"), text.get(b"j"), record.get(b"r")
    batch, buffers, waits = (either(name) for name in _SELDOM)
    return Delivery(
        run_id=RunId(given[b"r"].decode()),
        workflow=WorkflowName(given[b"w"].decode()),
        lane=Lane(given[b"q"].decode()),
        id=DeliveryId(given[b"d"].decode()),
        step=StepName(text[b"s"].decode()),
        event=EventName(text[b"t"].decode()),
        payload=text[b"p"],
        attempt=number[b"a"],
        crashes=number[b"c"],
        fence=fence,
        collection=None if collection is None else CollectionId(collection.decode()),
        joins=None if joins is None else joins.decode(),
        batch=None if batch is None else tuple(cast("list[bytes]", batch)),
        batch_size=cast(int, either(b"size", 0)),
        first_started_ms=number[b"f"],
        started_ms=number[b"x"],
        last_error=text.get(b"g"),
        timeout_ms=cast(int, either(b"dl", 0)),
        place=number.get(b"l"),
        buffers=buffers_of(buffers) if buffers else {},
        recoveries={StepName(_text(k)): cast(int, n) for k, n in _mapping(recoveries).items()} if recoveries else {},
        last_slot=number.get(b"v", 0),
        trace=given.get(b"tr"),
        waiters=_waiters_of(cast("list[bytes]", waits)) if waits else {},
        remembers=b"once" in raw,
        kept=kept,
    )


_SELDOM = (b"batch", b"buffers", b"waits")


def buffers_of(raw: object) -> dict[str, BufferSnapshot]:
    """Snapshots of collect_events buffers, by buffer id."""
    found: dict[str, BufferSnapshot] = {}
    for one in cast("list[dict[bytes, object]]", raw):
        counts = _mapping(one[b"counts"])
        items = one.get(b"items")
        found[_text(one[b"buffer"])] = BufferSnapshot(
            counts={EventName(_text(name)): cast(int, n) for name, n in counts.items()},
            items=None if items is None else {EventName(_text(n)): _items(v) for n, v in _mapping(items).items()},
        )
    return found


def _waiters_of(raw: Sequence[bytes]) -> dict[str, Waiter]:
    """From the fields and values of a hash."""
    found: dict[str, Waiter] = {}
    for waiter_id, packed in zip(raw[::2], raw[1::2], strict=True):
        waiter = _mapping(unpack(packed))
        state, answer = WaitState(_text(waiter[b"s"])), cast(bytes, waiter.get(b"p", b""))
        found[_text(waiter_id)] = Waiter(state=state, answer=answer)
    return found


def _items(raw: object) -> tuple[tuple[DeliveryId, bytes], ...]:
    from_lua = (cast("list[bytes]", unpack(one)) for one in cast("list[bytes]", raw))
    return tuple((DeliveryId(one[0].decode()), one[1]) for one in from_lua)


def _mapping(raw: object) -> dict[bytes, object]:
    return cast("dict[bytes, object]", raw) if isinstance(raw, dict) else {}


def _text(raw: object) -> str:
    return cast(bytes, raw).decode()

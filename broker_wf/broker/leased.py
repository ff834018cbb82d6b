"""Calls of scripts that change a leased delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from broker_wf.broker.blobs import BlobStore
from broker_wf.broker.connection import Pipe
from broker_wf.broker.plans import Plan, Planned
from broker_wf.broker.script import load
from broker_wf.core.delivery import Delivery
from broker_wf.events import Event
from broker_wf.wire.blobs import Blob
from broker_wf.wire.fingerprints import fingerprints

Hashes = Mapping[str, Mapping[str, bytes]]
"""Event id -> field -> hash of its value."""


class Connected(Protocol):
    """Who knows how many connections have been made so far."""

    connections: int


class _Once:
    connections = 1


@dataclass(slots=True)
class Acknowledged:
    """What servers have said they did for an execution that still goes on: of each connection the last.

    A server that has lost the end of its log has lost that first, and the replica that takes its place may never have
    had it; the script that ends the attempt asks for it. What was told over one connection says nothing of what was
    told over the one before: the last of each is kept, and by itself what may have been told over either.

    Attributes:
        link: what is asked for over.
        effects: ids of effects, and of parts that were staged.
        changes: ids of changes of the state.
    """

    link: Connected = field(default_factory=_Once)
    effects: dict[int | str, str] = field(default_factory=dict[int | str, str])
    changes: dict[int | str, str] = field(default_factory=dict[int | str, str])

    def asking(self) -> int:
        """Something is about to be asked for: the number to note it with."""
        return self.link.connections

    def effect(self, id_: str, asked_at: int) -> None:
        """What was asked for at this number is done."""
        self._note(self.effects, id_, asked_at)

    def change(self, id_: str, asked_at: int) -> None:
        """Likewise."""
        self._note(self.changes, id_, asked_at)

    def lost(self, token: str) -> None:
        """A lock is not held any more. The lease may be: then the server is to find that it has forgotten something."""
        self.changes[token] = token

    def _note(self, into: dict[int | str, str], id_: str, asked_at: int) -> None:
        into[asked_at if asked_at == self.link.connections else id_] = id_

    def as_plan(self) -> Plan:
        """What goes into the plan of that script: nothing for most."""
        if not self.effects and not self.changes:
            return {}
        return {"knows": {"effects": list(self.effects.values()), "changes": list(self.changes.values())}}


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class LeasedCall:
    """One call.

    Attributes:
        values: behind run and delivery. What the script may ask for more of is the first if that is a plan, else the
            last one, the hashes.
        blobs: what the payloads refer to; written ahead.
        sent: called when the call is on its way and not yet answered.
        events: gives those that are handed on, by id, where somebody asks for fields of theirs.
        heard: called with the reply, also when nobody waits for it any more.
    """

    script: str
    delivery: Delivery
    values: tuple[object, ...]
    blobs: tuple[Blob, ...]
    sent: Callable[[], None]
    events: Callable[[], Iterable[tuple[str, Event]]]
    heard: Callable[[list[object]], None] | None = None

    def values_with(self, hashes: Hashes) -> tuple[object, ...]:
        """The values, with what waiters ask of the events."""
        first = self.values[0]
        if isinstance(first, dict):
            return ({**cast("Plan", first), "hashes": hashes}, *self.values[1:])
        return (*self.values[:-1], hashes)


async def call_leased(pipe: Pipe, store: BlobStore, call: LeasedCall) -> list[object]:
    """Run the script until it has all that it needs: the blobs, and hashes of the fields that waiters compare."""
    values, asked = call.values, set[str]()
    while True:
        if call.blobs:
            await store.put(call.delivery.run_id, call.blobs)
        reply = pipe.call(load(call.script), call.delivery.run_id, call.delivery.id, *values)
        call.sent()
        words = cast("list[object]", await (reply if call.heard is None else _heard(reply, call.heard)))
        if words[0] == b"NO_BLOB":
            store.forget(call.delivery.run_id, call.blobs)
        elif words[0] == b"FIELDS":
            asked |= asked_fields(words)
            values = call.values_with({id_: fingerprints(event, asked) for id_, event in call.events()})
        else:
            return words


def _heard(reply: Awaitable[object], heard: Callable[[list[object]], None]) -> Awaitable[object]:
    """The reply; whoever is cancelled while waiting for it does not keep it from being heard."""
    coming = asyncio.ensure_future(reply)
    told: asyncio.Future[object] = coming.get_loop().create_future()

    def tell(came: asyncio.Future[object]) -> None:
        error = None if came.cancelled() else came.exception()
        if not came.cancelled() and error is None:
            heard(cast("list[object]", came.result()))
        if told.done():
            return
        if came.cancelled():
            told.cancel()
        elif error is not None:
            told.set_exception(error)
        else:
            told.set_result(came.result())

    coming.add_done_callback(tell)
    return told


def asked_fields(words: Sequence[object]) -> set[str]:
    """The fields a refusal names."""
    return {cast(bytes, word).decode() for word in words[1:]}


def sent_events(effects: Iterable[Planned]) -> list[tuple[str, Event]]:
    """The events that effects hand on, by id."""
    return [(cast(str, one.plan["id"]), one.event) for one in effects if one.event is not None]

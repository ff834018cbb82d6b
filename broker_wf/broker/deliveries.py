"""The life of one delivery: claimed, renewed, ended or handed back."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, cast

from broker_wf.broker.blobs import BlobStore
from broker_wf.broker.connection import Pipe
from broker_wf.broker.leased import Acknowledged, LeasedCall, call_leased, sent_events
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.plans import (
    Plan,
    Planned,
    blobs_of,
    buffers_of,
    delivery_of,
    route_map,
)
from broker_wf.broker.script import load
from broker_wf.core.commit import StepCommit
from broker_wf.core.delivery import BufferSnapshot, Delivery
from broker_wf.core.ids import Fence, Lane, StepName, WorkerId
from broker_wf.core.outcome import Undecided
from broker_wf.events import Event
from broker_wf.wire.blobs import Blob

log = logging.getLogger("broker_wf.connection")

STAGED_PART = 500
"""Events beyond so many are put down before the commit that hands them on."""
_FEW, _SMALL_BYTES = 8, 8192
"""With more events, or larger ones, a commit is a script of its own."""
EFFECTS_AT_ONCE = 500
"""More in one script would hold the server up for everybody else."""


class Ended(Enum):
    """What became of the end of an attempt."""

    DONE = "it stands"
    GONE = "the run had ended; nothing was written"
    FENCED = "the lease was lost; nothing was written"
    WAITING = "it waits for an event"
    STALE_BUFFER = "collect_events decided on events that are no longer so; nothing was written, run the step again"
    FORGOTTEN = "the server has lost what the step did by call; nothing was written, run the step again"
    SINGLY = "somebody may wait for what was handed on; nothing was written, commit it without what followed"


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Offer:
    """A worker would go on with the one delivery that follows from a commit.

    Attributes:
        step: of that delivery.
        kept: called with it if it is the worker's now.
        begun: the worker has begun to execute it: nobody else shall have it for want of work.
    """

    worker: WorkerId
    fence: Fence
    lease_ms: int
    step: StepName
    kept: Callable[[Delivery], None]
    begun: bool = False


@dataclass(frozen=TYPE_CHECKING, slots=True)
class Link:
    """A commit, and its map: what :func:`commit_map` makes of it."""

    commit: StepCommit
    planned: Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePlan:
    """What follows from an attempt that raised: one of another attempt, a handler's call, the run's end.

    Attributes:
        delay_ms: until the next attempt.
        recovers: what the handler gets.
        ending: of the run.
        letter: beside an ending: what goes to the dead letters.
        blobs: what ``recovers`` refers to.
    """

    delay_ms: int | None = None
    recovers: list[object] | None = None
    ending: Plan | None = None
    letter: Plan | None = None
    blobs: tuple[Blob, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryStore:
    """Effects, commit, fail, release: one script each."""

    pipe: Pipe
    blobs: BlobStore

    async def apply(
        self,
        delivery: Delivery,
        effects: Sequence[Planned],
        acked: Acknowledged,
        *,
        busy: bool,
        sent: Callable[[], None],
    ) -> tuple[Ended, list[str]]:
        """Apply effects, in order, each once; 500 in a script.

        Args:
            acked: takes note of what is done.
            sent: called whenever some are on their way and not yet answered.

        Returns:
            DONE and per effect ``ok``, ``seen``, ``conflict``, ``locked`` or ``lost``; or why they were refused, of
            which those may have been applied that stand before the first one refused.
        """
        words: list[str] = []
        for start in range(0, len(effects), EFFECTS_AT_ONCE):
            part = effects[start : start + EFFECTS_AT_ONCE]
            blobs = tuple(blobs_of(part).values())
            plans, refs = [one.plan for one in part], [blob.hash for blob in blobs]
            values: tuple[object, ...] = (delivery.fence, int(busy), plans, refs, dict[str, object]())
            asked_at = acked.asking()
            reply = await self._call("effect", delivery, values, blobs, sent, lambda some=part: sent_events(some))
            if reply[0] != b"OK":
                return ended_of(reply), []
            told = [word.decode() for word in cast("list[bytes]", reply[1])]
            done = [plan["id"] for plan, word in zip(plans, told, strict=True) if word in ("ok", "seen")]
            if done:
                acked.effect(cast(str, done[-1]), asked_at)
            words += told
        return Ended.DONE, words

    async def commit(
        self,
        link: Link,
        effects: Sequence[Planned],
        acked: Acknowledged,
        *,
        busy: bool,
        sent: Callable[[], None],
        offer: Offer | None = None,
        links: Sequence[Link] = (),
    ) -> Ended:
        """End an attempt that succeeded, and hand on its events, in one script.

        A fan-out larger than 500 is put down in parts under the lease first; the commit takes them over.

        Args:
            sent: called when the commit is on its way and not yet answered.
            links: what was executed in one go with it, each what followed alone from the one before, without effects,
                decisions and blobs.
        """
        commit, planned = link.commit, link.planned
        if offer is None and not links and _is_simple(link, effects, acked):
            ended = await self._share(link, busy=busy, sent=sent)
            if ended is not Ended.SINGLY:
                return ended
        plan = _with_refs(planned.plan, planned.blobs)
        plan["busy"] = int(busy)
        if len(commit.emissions) > STAGED_PART:
            refused = await self._stage(commit, plan, acked)
            if refused is not None:
                return refused
        plan.update(acked.as_plan())

        def events() -> list[tuple[str, Event]]:
            return [*((one.id, one.event) for one in commit.emissions), *sent_events(effects)]

        heard = None if offer is None else _offered(plan, (links[-1] if links else link).commit.delivery, offer)
        more = [word for one in links for word in _linked(one)]
        return ended_of(await self._call("commit", commit.delivery, (plan, more), planned.blobs, sent, events, heard))

    async def _share(self, link: Link, *, busy: bool, sent: Callable[[], None]) -> Ended:
        """Commit in one script with others of the run that end in this turn of the loop; SINGLY if that cannot be."""
        delivery, packed = link.commit.delivery, pack(link.planned.plan)
        if len(packed) > _SMALL_BYTES:
            return Ended.SINGLY
        part = (delivery.id, packed)
        reply = self.pipe.call_together(load("commits"), (delivery.run_id, int(busy)), part)
        sent()
        return ended_of(cast("list[object]", await reply))

    async def _call(
        self,
        script: str,
        delivery: Delivery,
        values: tuple[object, ...],
        blobs: tuple[Blob, ...],
        sent: Callable[[], None],
        events: Callable[[], Iterable[tuple[str, Event]]],
        heard: Callable[[list[object]], None] | None = None,
    ) -> list[object]:
        call = LeasedCall(
            script=script, delivery=delivery, values=values, blobs=blobs, sent=sent, events=events, heard=heard
        )
        return await call_leased(self.pipe, self.blobs, call)

    async def _stage(self, commit: StepCommit, plan: Plan, acked: Acknowledged) -> Ended | None:
        """Put the plain deliveries of a large fan-out down; what goes to joins stays in the plan.

        Under a token of its own: a commit that is refused as stale leaves what it put down to the end of the run, for
        the next execution under this lease may give other events.
        """
        delivery, emits = commit.delivery, cast("list[list[object]]", plan["emits"])
        token = f"{delivery.child_base}.{delivery.fence}.{secrets.token_hex(4)}"
        inner = commit.opening.id if commit.opening else delivery.collection
        for start in range(0, len(emits), STAGED_PART):
            some = slice(start, start + STAGED_PART)
            items = [
                [id_, name, payload, list(e.route.to)]
                for (id_, name, payload), e in zip(emits[some], commit.emissions[some], strict=True)
            ]
            part: Plan = {"nonce": delivery.fence, "token": token, "part": start, "items": items}
            if inner is not None:
                part["m"] = inner
            asked_at = acked.asking()
            raw = await self.pipe.call(load("stage"), delivery.run_id, delivery.id, part)
            words = cast("list[object]", raw)
            if words[0] == b"WAITED_FOR":
                return None
            ended = ended_of(words)
            if ended is not Ended.DONE:
                return ended
            acked.effect(f"{token}:{start}", asked_at)
        joined = [
            (one, e.route)
            for one, e in zip(emits, commit.emissions, strict=True)
            if e.route.slots or e.route.into or e.route.lost or e.route.is_empty
        ]
        plan["staged"], plan["output"] = token, commit.emissions[-1].route.name
        plan["emits"] = [one for one, _ in joined]
        routes: Plan = {route.name: {**route_map(route), "to": []} for _, route in joined}
        plan["routes"] = pack(routes)
        return None

    async def fail(
        self,
        delivery: Delivery,
        effects: Sequence[Planned],
        error: bytes,
        planned: FailurePlan,
        acked: Acknowledged,
        *,
        busy: bool,
        sent: Callable[[], None],
    ) -> Ended:
        """End an attempt that raised.

        Args:
            error: the encoded error, for the next attempt.
            sent: called when it is on its way and not yet answered.
        """
        blobs = tuple({**blobs_of(effects), **{blob.hash: blob for blob in planned.blobs}}.values())
        plans = [one.plan for one in effects]
        plan: Plan = {"nonce": delivery.fence, "effects": plans, "error": error, "busy": int(busy), **acked.as_plan()}
        _with_refs(plan, blobs)
        parts = {
            "ends": planned.ending,
            "dead": planned.letter,
            "recovers": planned.recovers,
            "delay_ms": planned.delay_ms,
        }
        plan.update({name: part for name, part in parts.items() if part is not None})
        return ended_of(await self._call("fail", delivery, (plan,), blobs, sent, lambda: sent_events(effects)))

    async def release(self, deliveries: Sequence[Delivery]) -> int:
        """Hand back what was claimed and not finished; neither attempt nor crashes change."""
        leases = [[d.run_id, d.id, d.fence] for d in deliveries]
        return cast(int, await self.pipe.call(load("release"), leases))

    async def free_places(self, lane: Lane, deliveries: Sequence[Delivery]) -> None:
        """Give back the places of deliveries whose lease was lost, once their code has stopped."""
        places = [[lane, d.step, d.run_id, d.id, d.fence] for d in deliveries if d.place is not None]
        if places:
            await self.pipe.call(load("free"), places)

    async def pause(self, delivery: Delivery) -> None:
        """Let others have the places of a step that waits for a child run. Nothing if the lease is lost."""
        await self.pipe.call(load("pause"), delivery.run_id, delivery.id, delivery.fence)

    async def resume(self, delivery: Delivery, limit: int | None, lease_ms: int) -> bool:
        """Take the places of a paused step again.

        Args:
            limit: its ``num_workers``.

        Returns:
            False if none is free yet: ask again within 3 s, so long the next one is reserved. True also for a step
            that has lost its lease: it may go on to its end, which will be refused.
        """
        names = (delivery.run_id, delivery.id, delivery.fence)
        reply = cast("list[bytes]", await self.pipe.call(load("resume"), *names, limit or 0, lease_ms))
        return reply[0] != b"WAIT"

    async def batch(self, delivery: Delivery) -> tuple[bytes, ...]:
        """The members a join gets, in order of arrival, where the claim did not carry them."""
        key = self.pipe.keys.of("batch", delivery.run_id, delivery.joins or "", delivery.step)
        parts: list[bytes] = []
        for start in range(0, delivery.batch_size, 1000):
            raw = await self.pipe.command("LRANGE", key, start, start + 999)
            parts += cast("list[bytes]", raw)
        return tuple(parts)

    async def snapshot(self, delivery: Delivery, needed: Undecided | None) -> Mapping[str, BufferSnapshot]:
        """The collect_events buffers of the delivery's step as they stand now; the one needed with its events."""
        asked: Plan = {} if needed is None else {"buffer": needed.buffer, "want": dict(needed.want)}
        raw = await self.pipe.call(load("snapshot"), delivery.run_id, delivery.step, delivery.event, asked)
        return buffers_of(raw)


def _offered(plan: Plan, delivery: Delivery, offer: Offer) -> Callable[[list[object]], None]:
    """Put the offer into a commit's plan. Returns what hears the reply."""
    plan["hand"] = {
        "nonce": offer.fence,
        "worker": offer.worker,
        "lease_ms": offer.lease_ms,
        "step": offer.step,
        "lane": delivery.lane,
    }
    if offer.begun:
        cast("Plan", plan["hand"])["begun"] = 1

    def heard(words: list[object]) -> None:
        packed = words[-1] if len(words) == {b"OK": 2, b"DONE": 3}.get(cast(bytes, words[0])) else None
        if packed is not None:
            raw = cast("dict[bytes, object]", unpack(cast(bytes, packed)))
            offer.kept(delivery_of(raw, offer.fence, delivery.kept + 1))

    return heard


def _is_simple(link: Link, effects: Sequence[Planned], acked: Acknowledged) -> bool:
    """Whether it only hands on events, and a few."""
    commit = link.commit
    has_more = effects or commit.decisions or commit.asked or commit.opening or commit.stop or link.planned.blobs
    return not has_more and len(commit.emissions) <= _FEW and not acked.effects and not acked.changes


def _linked(link: Link) -> tuple[bytes, bytes, bytes]:
    delivery = link.commit.delivery
    return delivery.id.encode(), delivery.fence.encode(), pack(link.planned.plan)


def _with_refs(plan: Plan, blobs: tuple[Blob, ...]) -> Plan:
    if blobs:
        plan["refs"] = [blob.hash for blob in blobs]
    return plan


def ended_of(reply: list[object]) -> Ended:
    """What the reply of a script that ends an execution says."""
    match reply[0]:
        case b"OK" | b"DONE":
            return Ended.DONE
        case b"GONE":
            return Ended.GONE
        case b"STALE_BUFFER":
            return Ended.STALE_BUFFER
        case b"FORGOTTEN":
            return Ended.FORGOTTEN
        case b"SINGLY":
            return Ended.SINGLY
        case _:
            return Ended.FENCED

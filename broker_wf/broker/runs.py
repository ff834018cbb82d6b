"""A run from outside: accepted, followed, sent to, cancelled."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.kinds import RunLimits, packed_kind
from broker_wf.broker.leased import asked_fields
from broker_wf.broker.packing import pack
from broker_wf.broker.plans import Plan, packed_routes
from broker_wf.broker.script import load
from broker_wf.broker.snapshots import START_FIELDS, RunContent
from broker_wf.core.ids import Digest, DriverId, EventId, EventName, Lane, RunId, WorkflowName
from broker_wf.core.routing import Route
from broker_wf.core.run_options import NO_OPTIONS, RunOptions
from broker_wf.errors import (
    BackpressureError,
    NoWorkerForStepError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    RunOptionError,
)
from broker_wf.events import Event
from broker_wf.wire.blobs import Encoded
from broker_wf.wire.fingerprints import fingerprints


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Beginning:
    """What every run begins with.

    Attributes:
        start_hash: of what the run begins with; a run id used again with another one is a conflict.
        state: top-level state keys, encoded.
        exposed: what the engine does for the run is published too.
        trace: what the run carries for those who trace its steps.
        inbox: of the driver that wants to hear of the end; empty: nobody.
        max_runs: how many runs of the workflow may go on at one time; further ones wait. None: any number.
        token: of one wish to restart the run: told twice, it happens once. Empty: each is one of its own.
    """

    run_id: RunId
    workflow: WorkflowName
    lane: Lane
    digest: Digest
    timeout_ms: int
    start_name: EventName
    start_hash: str
    state: Mapping[str, bytes]
    inbox: str
    max_runs: int | None = None
    exposed: bool = False
    trace: bytes | None = None
    options: RunOptions = NO_OPTIONS
    token: str = ""


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class Submission:
    """A run that begins with its start event.

    Attributes:
        payload: the start event.
        parent: the run that this one ends with.
    """

    begin: Beginning
    route: Route
    payload: Encoded
    parent: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A run that has ended, and that another one does again.

    Attributes:
        routes: of its start event, packed.
        start: the fields of its record that keep what it began with.
    """

    run_id: RunId
    routes: bytes
    start: Mapping[str, bytes]


@dataclass(frozen=TYPE_CHECKING, slots=True, kw_only=True)
class RunState:
    """A run as it stands.

    Attributes:
        status: running, completed, failed, cancelled or timed_out.
        result: the encoded stop event; only if completed.
        error: the encoded error; only if it ended badly.
    """

    status: str
    workflow: str
    result: bytes
    error: bytes
    start_hash: str


_NOTHING = pack({})
_ARRIVES_WITHIN_MS = 120_000
"""So long what a run is to begin with is kept without it: a driver may die before the run is there."""


@dataclass(frozen=True, slots=True)
class RunStore:
    """Runs, seen by drivers."""

    pipe: Pipe
    limits: RunLimits

    async def submit(self, submission: Submission) -> str:
        """Accept a run, once. The same run id with the same start event attaches to the run there is.

        Returns:
            ``running`` for a new run, else the status of the one there is.

        Raises:
            RunConflictError: the id belongs to a run with another start event; nothing was written.
            BackpressureError: too many live runs, or the server is out of memory; nothing was written.
            RunOptionError: the workflow has no use for an option; nothing was written.
            RunEndedError: the parent has ended; nothing was written.
        """
        begin = submission.begin
        kind = self._kind(begin, packed_routes((submission.route,)))
        plan = _chosen(begin)
        if submission.parent is not None:
            plan["parent"] = submission.parent
        values = (begin.run_id, kind, submission.payload.payload, begin.start_hash, begin.inbox)
        reply = await self._submitted(values, plan, _parts(submission.payload))
        return self._status(reply, begin, submission.parent)

    async def _submitted(self, values: tuple[object, ...], plan: Plan, parts: list[bytes]) -> object:
        """The reply, whatever it says. Large parts are put down in front of the script, which only moves them."""
        if not parts:
            return await self.pipe.firm.call(load("submit"), *values, plan or _NOTHING)
        pipe, token = self.pipe.firm, secrets.token_hex(8)
        key = pipe.keys.of("arriving", token)
        while True:
            puts = pipe.command("HSET", key, *parts), pipe.command("PEXPIRE", key, _ARRIVES_WITHIN_MS)
            try:
                reply = cast("list[object]", await pipe.call(load("submit"), *values, {**plan, "arriving": token}))
            finally:
                put = await asyncio.gather(*puts, return_exceptions=True)
            if reply[0] != b"NO_PARTS":
                return reply
            for error in put:
                if isinstance(error, BaseException):
                    raise error

    async def submit_again(self, begin: Beginning, rerun_of: RunId, payload: bytes, routes: bytes) -> str:
        """Accept a run that begins as another one did, whose blobs it has. Returns and raises as :meth:`submit`."""
        values = (begin.run_id, self._kind(begin, routes), payload, begin.start_hash, begin.inbox)
        plan: Plan = {**_chosen(begin), "rerun_of": rerun_of}
        return self._status(await self.pipe.firm.call(load("submit"), *values, plan), begin, None)

    async def restore(self, begin: Beginning, content: RunContent, *, again: Again | None = None) -> str:
        """Accept a run that goes on where another one was, once. Returns and raises as :meth:`submit`.

        Args:
            again: that other one, if it has ended and this is its rerun.
        """
        plan: Plan = {**_chosen(begin), **content.plan(self.pipe.keys, begin.run_id)}
        plan.update({"start_hash": begin.start_hash, "inbox": begin.inbox})
        # What it begins with is not what it goes on from.
        record = {
            name: value for name, value in cast("Plan", plan.get("record", {})).items() if name not in START_FIELDS
        }
        routes = _NOTHING
        if again is not None:
            routes, plan["rerun_of"] = again.routes, again.run_id
            record.update(again.start)
        plan["record"] = record
        values = (begin.run_id, self._kind(begin, routes), plan)
        return self._status(await self.pipe.firm.call(load("restore"), *values), begin, None)

    def _status(self, raw: object, begin: Beginning, parent: RunId | None) -> str:
        reply = cast("list[object]", raw)
        if reply[0] == b"FULL":
            raise BackpressureError(f"workflow {begin.workflow!r} has {reply[1]} live runs, which is its limit")
        if reply[0] == b"GONE":
            raise RunEndedError(parent or "", cast(bytes, reply[1]).decode())
        if reply[0] == b"EXISTS":
            if reply[2] != 1:
                raise RunConflictError(begin.run_id)
            return cast(bytes, reply[1]).decode()
        return "running"

    def _kind(self, begin: Beginning, routes: bytes) -> bytes:
        names = (begin.workflow, begin.lane, begin.digest, begin.start_name)
        return packed_kind(self.limits, *names, begin.timeout_ms, begin.max_runs, routes)

    async def attach(self, run_id: RunId, inbox: DriverId | None, *, firmly: bool = False) -> RunState:
        """How a run stands; its end comes to ``inbox`` too.

        Args:
            firmly: it is to stand so durably, as far as ``Settings.durability`` asks for that; then this waits.

        Raises:
            RunNotFoundError: no such run, or its retention is over.
        """
        pipe = self.pipe.firm if firmly else self.pipe
        raw = cast("list[bytes]", await pipe.call(load("attach"), run_id, inbox or ""))
        if raw[0] == b"missing":
            raise RunNotFoundError(run_id)
        return RunState(
            status=raw[0].decode(),
            workflow=raw[1].decode(),
            result=raw[2],
            error=raw[3],
            start_hash=raw[4].decode(),
        )

    async def to_be_looked_at(self, run_ids: Sequence[RunId], inbox: DriverId) -> list[RunId]:
        """Those of these runs to which something has happened, or whose end does not come to ``inbox``."""
        raw = cast("list[int]", await self.pipe.call(load("looks"), inbox, list(run_ids)))
        return [run_ids[position - 1] for position in raw]

    async def expose(self, run_id: RunId) -> None:
        """Publish from now on what the engine does for a run; nothing, if it has ended or is not there."""
        await self.pipe.call(load("expose"), run_id)

    async def cancel(self, run_id: RunId) -> str:
        """End a run as cancelled.

        Returns:
            ``cancelled``, or the status with which it had ended before.

        Raises:
            RunNotFoundError: no such run.
        """
        reply = cast("list[bytes]", await self.pipe.call(load("cancel"), run_id, 0))
        if reply[0] == b"OK":
            return "cancelled"
        if reply[1] == b"missing":
            raise RunNotFoundError(run_id)
        return reply[1].decode()

    async def purge(self, run_id: RunId) -> str:
        """Forget a run that has ended. Returns ``OK``, or ``running`` or ``missing``: nothing was done."""
        return cast(bytes, await self.pipe.call(load("purge"), run_id)).decode()

    async def adopt(self, run_id: RunId, lane: Lane, digest: Digest) -> None:
        """Move a live run to another lane.

        Raises:
            RunNotFoundError: no such run.
            RunEndedError: it has ended.
            NoWorkerForStepError: it began with another graph; nothing was written.
        """
        reply = cast("list[bytes]", await self.pipe.call(load("adopt"), run_id, lane, digest))
        if reply[0] == b"OK":
            return
        if reply[0] == b"DIGEST":
            raise NoWorkerForStepError(lane.partition("@")[0], "any", reply[1].decode())
        if reply[1] == b"missing":
            raise RunNotFoundError(run_id)
        raise RunEndedError(run_id, reply[1].decode())

    async def running_steps(self, run_id: RunId) -> list[str]:
        """The names of the steps that execute now."""
        raw = cast("list[bytes]", await self.pipe.call(load("steps"), run_id))
        return [name.decode() for name in raw]

    async def send(self, run_id: RunId, event_id: EventId, event: Event, encoded: Encoded, route: Route) -> None:
        """Hand an event to a run from outside, once per event id.

        Raises:
            RunNotFoundError: no such run.
            RunEndedError: it has ended; nothing was written.
        """
        values = (run_id, event_id, route.name, encoded.payload, packed_routes((route,)))
        asked, hashes = set[str](), dict[str, dict[str, bytes]]()
        while True:
            reply = cast("list[bytes]", await self.pipe.firm.call(load("send"), *values, hashes, _parts(encoded)))
            if reply[0] != b"FIELDS":
                break
            asked |= asked_fields(reply)
            hashes = {event_id: fingerprints(event, asked)}
        if reply[0] != b"GONE":
            return
        if reply[1] == b"missing":
            raise RunNotFoundError(run_id)
        raise RunEndedError(run_id, reply[1].decode())


def _chosen(begin: Beginning) -> Plan:
    """What was said of the run, as ``lib/accept.lua`` reads it; nothing of what is as usual."""
    options = begin.options
    if options is NO_OPTIONS and not (begin.exposed or begin.state or begin.trace):
        return {}
    if options.fairness_key is not None and begin.max_runs is None:
        raise RunOptionError(
            f"workflow {begin.workflow!r} has no num_concurrent_runs: its runs wait for no turns, so that "
            f"fairness_key has nothing to decide; give the workflow num_concurrent_runs, or leave the key out"
        )
    token = (begin.token or secrets.token_hex(8)) if options.on_conflict == "restart" else None
    priority = None if options.priority == "normal" else options.priority
    record = {
        "exposed": "1" if begin.exposed else None,
        "trace": begin.trace,
        "first_state": pack(dict(begin.state)) if begin.state else None,
        "tags": pack(dict(options.tags)) if options.tags else None,
        "token": token,
        "priority": priority,
        # One process has no streams for priorities.
        "rank": None if priority is None or "@" in begin.lane else f"#{priority}",
        "fairness": options.fairness_key,
    }
    plan = {
        "record": _given(record),
        "state": dict(begin.state),
        "delay_ms": options.delay_ms or None,
        "on_conflict": None if options.on_conflict == "fail" else options.on_conflict,
        "token": token,
    }
    return {name: value for name, value in _given(plan).items() if value != {}}


def _given(values: Mapping[str, object]) -> Plan:
    return {name: value for name, value in values.items() if value is not None}


def _parts(event: Encoded) -> list[bytes]:
    """Its blobs as the scripts take them: a hash, its encoded part, the next hash, and so on."""
    return [word for blob in event.blobs for word in (blob.hash, blob.sealed)]

"""Runs that have ended, done again: whole, or going on from what they had not finished."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.kept import Gone, entries_of
from broker_wf.broker.kinds import spread
from broker_wf.broker.moving import moved_parts, moved_start, moved_state, state_of
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.roster import RosterStore
from broker_wf.broker.runs import Again, Beginning, RunStore
from broker_wf.broker.snapshots import FLAGS, START_FIELDS, Part, Record, RunContent, part_of, records_in
from broker_wf.core.ids import Digest, DriverId, EventName, Lane, RunId, WorkflowName
from broker_wf.core.run_options import Priority, RunOptions
from broker_wf.errors import NothingToRerunError, RunNotFoundError
from broker_wf.wire.envelope import is_signed
from broker_wf.wire.signing import Signer

_FORGOTTEN = (b"a", b"f", b"g", b"y", b"u", b"e")
"""What a delivery that has failed begins anew without."""
_OF_CRASHES = (b"c", b"z")
_BY_CALL = ("effects", "changed")
"""Families that say what a delivery has done by call: a new attempt does it anew."""
Fields = Mapping[str, bytes]
_NOT_KEPT = (
    "a step of it gave more than 8 KiB or 500 events at once, or there were more than 10,000 deliveries, "
    "or BROKER_WF_KEEP_STEPS was off"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What a run had not finished when it failed, timed out or was cancelled.

    Attributes:
        failed: the delivery that has failed; empty if none has.
    """

    failed: bytes
    parts: tuple[Part, ...]
    hash: str

    @property
    def steps(self) -> list[str]:
        """The steps that had something to do."""
        return sorted({cast(bytes, record[b"s"]).decode() for _, record in records_in(self.parts)})

    def anew(self) -> tuple[Part, ...]:
        """The parts with what has failed as if it never had been tried, and with nobody's crashes held against it."""
        behind = f":{self.failed.decode()}"
        kept = (part for part in self.parts if not (part[0] in _BY_CALL and part[1] == behind))
        return tuple((family, rest, kind, self._begun(family, content)) for family, rest, kind, content in kept)

    def _begun(self, family: str, content: list[bytes]) -> list[bytes]:
        if family not in ("live", "waiting"):
            return content
        pairs = zip(content[::2], content[1::2], strict=True)
        return [one for delivery, raw in pairs for one in (delivery, self._fresh(delivery, raw))]

    def _fresh(self, delivery: bytes, raw: bytes) -> bytes:
        drop = (*_OF_CRASHES, *_FORGOTTEN) if delivery == self.failed else _OF_CRASHES
        record = {name: value for name, value in cast(Record, unpack(raw)).items() if name not in drop}
        return pack({b"a": 1, **record, b"c": 0})


@dataclass(frozen=True, slots=True)
class RerunStore:
    """Begins runs where others have ended. A new run has an id of its own, and names the old one."""

    pipe: Pipe
    runs: RunStore
    roster: RosterStore
    signer: Signer | None = None

    async def rest(self, run_id: RunId) -> Rest | None:
        """What a run had not finished; None: nothing is kept of it, for it did not fail, or it was too large."""
        raw = cast("bytes | None", await self.pipe.command("GET", self.pipe.keys.of("rest", run_id)))
        if raw is None:
            return None
        failed, parts = cast("tuple[bytes, list[list[object]]]", unpack(raw))
        read = tuple(part_of(self.pipe.keys, run_id, one) for one in parts or ())
        return Rest(failed=failed, parts=read, hash=hashlib.blake2b(raw, digest_size=16).hexdigest())

    async def whole(self, run_id: RunId, new_id: RunId) -> str:
        """Begin a run with the start event and the first state that another one had, once per new id.

        Returns:
            ``running``, or how the run with that id stands already.

        Raises:
            RunNotFoundError: there is no such run.
            RunConflictError: the new id belongs to a run that began otherwise.
            BackpressureError: too many live runs.
            NothingToRerunError: its start event is not known, or nobody takes such an event any more.
        """
        old = await self._old(run_id)
        if not old.start:
            raise NothingToRerunError(run_id, "it went on from a saved context, and its start event is not known")
        start = self._moved_start(old, run_id, new_id)
        begin = old.begin(new_id, state_of(start), old.text("start_hash"))
        return await self.runs.submit_again(begin, run_id, start["start"], old.routes_now())

    async def unfinished(self, run_id: RunId, new_id: RunId, step: str | None = None) -> str:
        """Begin a run that goes on where another one has failed, timed out or was cancelled, once per new id.

        What was finished is not done again; everything else is, whichever step is named.

        Args:
            step: must be one that was not finished; None: it is all the same.

        Returns and raises as :meth:`whole`.
        """
        old, rest = await self._old(run_id), await self.rest(run_id)
        if rest is None:
            why = (
                "what it had not finished is not kept: "
                "it completed or went with its parent, or had more than 10,000 items to do"
            )
            raise NothingToRerunError(run_id, why)
        if step is not None and step not in rest.steps:
            raise NothingToRerunError(
                run_id, f"step {step!r} has nothing to do in it; left are {', '.join(rest.steps)}"
            )
        old.must_know(rest.steps, run_id)
        kept: Part = ("kept", "", "list", await self._kept(run_id))
        content = RunContent(used_ms=0, flags=old.flags, parts=(*rest.anew(), kept))
        return await self._going_on(old, run_id, new_id, content, rest.hash)

    async def from_finished(self, run_id: RunId, new_id: RunId, step: str) -> str:
        """Begin a run that goes on where another one has ended, as if a step had done nothing in it, once per new id.

        That step is executed again on all the events it had, with whatever comes of them. What else was finished is not
        done again, and what was not finished is done.

        Returns and raises as :meth:`whole`.
        """
        old = await self._old(run_id)
        if not old.start or "unkept" in old.fields:
            raise NothingToRerunError(run_id, f"what had become of {step!r} is not kept: {_NOT_KEPT}")
        entries = entries_of(await self._kept(run_id))
        gone = Gone(step=step.encode(), born_ms=int(old.fields["ended_ms"]))
        gone.begin(old.fields["routes"], old.fields["start_name"], old.start["start"])
        gone.go_through(entries)
        content = RunContent(used_ms=0, flags=old.flags, parts=gone.parts())
        if step not in content.steps:
            done = sorted({one.step.decode() for one in entries if one.kind == b"c"})
            raise NothingToRerunError(run_id, f"step {step!r} has executed nothing in it; {', '.join(done)} have")
        old.must_know(content.steps, run_id)
        given = hashlib.blake2b(b"".join(one.raw for one in entries), digest_size=16).hexdigest()
        return await self._going_on(old, run_id, new_id, content, f"{step}:{given}")

    async def _going_on(self, old: _Old, run_id: RunId, new_id: RunId, content: RunContent, start_hash: str) -> str:
        state = await self._state(run_id)
        if self.signer is not None:
            move = self.signer.move(run_id, new_id)
            content = replace(content, parts=moved_parts(content.parts, move))
            state = moved_state(state, move)
        begin = old.begin(new_id, state, start_hash)
        again = Again(run_id=run_id, routes=old.fields["routes"], start=self._moved_start(old, run_id, new_id))
        return await self.runs.restore(begin, content, again=again)

    def _moved_start(self, old: _Old, run_id: RunId, new_id: RunId) -> Mapping[str, bytes]:
        """What its record keeps of its beginning, for the new run; empty: nothing."""
        start = old.start
        return start if self.signer is None or not start else moved_start(start, self.signer.move(run_id, new_id))

    async def _kept(self, run_id: RunId) -> list[bytes]:
        raw = await self.pipe.command("LRANGE", self.pipe.keys.of("kept", run_id), 0, -1)
        return cast("list[bytes]", raw or [])

    async def _state(self, run_id: RunId) -> dict[str, bytes]:
        raw = await self.pipe.command("HGETALL", self.pipe.keys.of("state", run_id))
        return {key: value.partition(b":")[2] for key, value in _fields(raw).items()}

    async def _old(self, run_id: RunId) -> _Old:
        fields = spread(_fields(await self.pipe.command("HGETALL", self.pipe.keys.of("run", run_id))))
        if "status" not in fields:
            raise RunNotFoundError(run_id)
        if fields["status"] == b"running":
            raise NothingToRerunError(run_id, "it has not ended")
        self._must_have_key(run_id, fields)
        found = await self.roster.definition(WorkflowName(fields["workflow"].decode()))
        if found is None and b"@" in fields["lane"]:
            raise NothingToRerunError(
                run_id, "it executed in the process that began it, and no worker knows its workflow"
            )
        return _Old(fields, found[0] if found else None, _facts(found[1]) if found else {})

    def _must_have_key(self, run_id: RunId, fields: Fields) -> None:
        if self.signer is None and is_signed(fields.get("start", b"")):
            why = "its events are signed for it alone, and this process has no BROKER_WF_SIGNING_KEY to sign them again"
            raise NothingToRerunError(run_id, why)


@dataclass(frozen=True, slots=True)
class _Old:
    """A run that has ended, and what is known of its workflow now."""

    fields: Fields
    digest: Digest | None
    facts: Mapping[bytes, object] = field(default_factory=dict[bytes, object])

    @property
    def start(self) -> dict[str, bytes]:
        """The fields that keep what it began with; empty: none do."""
        return {name: self.fields[name] for name in START_FIELDS if name in self.fields and "start" in self.fields}

    @property
    def flags(self) -> dict[str, bytes]:
        return {name: self.fields[name] for name in FLAGS if name in self.fields}

    def text(self, name: str) -> str:
        return self.fields[name].decode()

    def begin(self, new_id: RunId, state: Mapping[str, bytes], start_hash: str) -> Beginning:
        """As the old one, in the version that the workflow's workers have now."""
        workflow = WorkflowName(self.text("workflow"))
        return Beginning(
            run_id=new_id,
            workflow=workflow,
            lane=Lane(workflow),
            digest=self.digest or Digest(self.text("digest")),
            timeout_ms=int(self.fields["timeout_ms"]),
            start_name=EventName(self.text("start_name")),
            start_hash=start_hash,
            state=state,
            inbox=DriverId(""),
            max_runs=int(self.fields["max_runs"]) if "max_runs" in self.fields else None,
            options=options_of(self.fields),
        )

    def must_know(self, steps: Iterable[str], run_id: RunId) -> None:
        """Refuse steps that its workflow has not now, as far as that is known.

        Raises:
            NothingToRerunError: there are such.
        """
        gone = [one for one in steps if self.facts and one.encode() not in self._steps()]
        if gone:
            raise NothingToRerunError(run_id, f"its workflow has no step {', '.join(gone)} any more")

    def routes_now(self) -> bytes:
        """Who takes its start event now, packed.

        Raises:
            NothingToRerunError: nobody does.
        """
        if not self.facts or self.digest == self.text("digest"):
            return self.fields["routes"]
        if self.facts.get(b"start") != self.fields["start_name"]:
            now = cast(bytes, self.facts.get(b"start", b"")).decode()
            raise NothingToRerunError(
                self.text("workflow"), f"it began with {self.text('start_name')}; its workflow begins with {now} now"
            )
        name = self.fields["start_name"]
        route = cast("dict[bytes, dict[bytes, object]]", unpack(self.fields["routes"]))[name]
        return pack({name: {**route, b"to": self.facts.get(b"start_to") or []}})

    def _steps(self) -> set[object]:
        return {cast("dict[bytes, object]", one)[b"name"] for one in cast("list[object]", self.facts[b"steps"])}


def tags_of(fields: Fields) -> dict[str, str]:
    """The tags in a run's record."""
    found = cast("dict[bytes, bytes]", unpack(fields["tags"])) if "tags" in fields else {}
    return {name.decode(): value.decode() for name, value in found.items()}


def options_of(fields: Fields) -> RunOptions:
    """What a run was started with, as far as that is of use for another one that does it again."""
    return RunOptions(
        tags=tags_of(fields),
        priority=cast(Priority, fields.get("priority", b"normal").decode()),
        fairness_key=fields["fairness"].decode() if "fairness" in fields else None,
    )


def _facts(raw: bytes) -> Mapping[bytes, object]:
    found = unpack(raw) if raw else None
    return cast("dict[bytes, object]", found) if isinstance(found, dict) else {}


def _fields(raw: object) -> dict[str, bytes]:
    if isinstance(raw, dict):
        return {key.decode(): value for key, value in cast("dict[bytes, bytes]", raw).items()}
    flat = cast("list[bytes]", raw or [])
    return {key.decode(): value for key, value in zip(flat[::2], flat[1::2], strict=True)}

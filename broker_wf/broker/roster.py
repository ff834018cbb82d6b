"""Who is alive, who serves what, what is known of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.connection import Pipe
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.script import load
from broker_wf.core.ids import PRIORITIES, Digest, EventName, Lane, StepName, WorkerId, WorkflowName
from broker_wf.core.routing import stream_event
from broker_wf.core.spec import Intake, WorkflowSpec
from broker_wf.errors import ServerRefusedError, WorkflowConflictError

PROTOCOL = 2
_WITH_PRIORITY = tuple(f"#{one}" for one in PRIORITIES)


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group: of ``step``, on the work (``w``) or again (``a``) stream of ``event`` in ``lane``."""

    lane: Lane
    kind: str
    event: EventName
    step: StepName

    def as_list(self) -> list[str]:
        """As the scripts take it."""
        return [self.lane, self.kind, self.event, self.step]


def groups_of(spec: WorkflowSpec, lane: Lane) -> list[Group]:
    """The groups of a workflow's steps. A join is never in a work stream, nor is what was set aside for a digest."""
    groups: list[Group] = []
    for step in spec.steps.values():
        if step.intake is not Intake.SINGLE:
            groups.append(Group(lane, "a", stream_event(spec, step), step.name))
            continue
        taken = {spec.name_of(t) for slot in step.slots for t in slot.types}
        for name in sorted(taken | {name for one, name in spec.names.items() if step.accepts(one)}):
            is_aside = "#" in lane and not lane.endswith(_WITH_PRIORITY)
            kinds = "a" if is_aside else "wa"
            groups += [Group(lane, kind, name, step.name) for kind in kinds]
    return groups


@dataclass(frozen=True, slots=True)
class RosterStore:
    """Workers by heartbeat, workflows by definition."""

    pipe: Pipe

    async def check_protocol(self, partitions: int) -> None:
        """Agree with the namespace on how it is laid out; the first to come decides.

        Raises:
            ServerRefusedError: the namespace is of another version or has another number of partitions.
        """
        key = self.pipe.keys.of("protocol")
        raw = cast("list[bytes | None]", await self.pipe.command("HMGET", key, "version", "partitions"))
        if None in raw:  # asked for first, as a server that is full takes no writes and yet is to be worked at
            await self.pipe.command("HSETNX", key, "version", PROTOCOL)
            await self.pipe.command("HSETNX", key, "partitions", partitions)
            raw = cast("list[bytes | None]", await self.pipe.command("HMGET", key, "version", "partitions"))
        version, found = int(raw[0] or 0), int(raw[1] or 0)
        if (version, found) != (PROTOCOL, partitions):
            raise ServerRefusedError(
                self.pipe.url,
                f"namespace {self.pipe.keys.namespace!r} is of protocol {version} with {found} partitions, "
                f"this program speaks {PROTOCOL} with {partitions}",
                "Use another namespace, or the version of broker-wf that made this one.",
            )

    async def register(self, spec: WorkflowSpec, facts: bytes, groups: Sequence[Group], fresh_ms: int) -> None:
        """Make a workflow known in the namespace, and its consumer groups.

        Raises:
            WorkflowConflictError: another class holds the name and is in use; nothing was written.
        """
        reply = cast(
            "list[bytes]",
            await self.pipe.call(
                load("register"),
                spec.name,
                spec.class_path,
                spec.digest,
                facts,
                fresh_ms,
                [g.as_list() for g in groups],
            ),
        )
        if reply[0] == b"CONFLICT":
            raise WorkflowConflictError(spec.name, spec.class_path, reply[1].decode())

    async def check_class(self, spec: WorkflowSpec) -> None:
        """Refuse to submit to workers that serve another class under this workflow's name.

        Raises:
            WorkflowConflictError: they do.
        """
        raw = cast("bytes | None", await self.pipe.command("HGET", self.pipe.keys.of("definition", spec.name), "class"))
        theirs = spec.class_path if raw is None else raw.decode()
        if theirs != spec.class_path and await self.serving(Lane(spec.name)) > 0:
            raise WorkflowConflictError(spec.name, spec.class_path, theirs)

    async def heartbeat(self, worker: WorkerId, facts: dict[str, object], life_ms: int, lanes: Sequence[Lane]) -> int:
        """Say that a worker is alive. Returns how many are."""
        return cast(int, await self.pipe.call(load("heartbeat"), worker, pack(facts), life_ms, list(lanes)))

    async def goodbye(self, worker: WorkerId, lanes: Sequence[Lane], groups: Sequence[Group]) -> None:
        """Take a worker that has stopped out of the roster and out of its groups."""
        await self.pipe.call(load("goodbye"), worker, list(lanes), [g.as_list() for g in groups])

    async def tidy(self, idle_ms: int, groups: Sequence[Group]) -> int:
        """Remove consumers that killed workers left, once nothing of theirs pends. Returns how many."""
        return cast(int, await self.pipe.call(load("tidy"), idle_ms, [g.as_list() for g in groups]))

    async def keep_lane(self, lane: Lane, keep_ms: int, groups: Sequence[Group]) -> None:
        """Let the keys of a private lane live ``keep_ms`` longer; 0 drops them."""
        await self.pipe.call(load("lane"), lane, keep_ms, [g.as_list() for g in groups])

    async def serving(self, lane: Lane, fresh_ms: int = 15_000) -> int:
        """How many workers serve a lane; those count that were heard of within ``fresh_ms``."""
        seconds, micros = cast("tuple[bytes, bytes]", await self.pipe.command("TIME"))
        since = int(seconds) * 1000 + int(micros) // 1000 - fresh_ms
        key = self.pipe.keys.of("serving", lane)
        return cast(int, await self.pipe.command("ZCOUNT", key, since, "+inf"))

    async def workflows(self) -> list[WorkflowName]:
        """Every workflow that was used in the namespace."""
        raw = cast("set[bytes] | list[bytes]", await self.pipe.command("SMEMBERS", self.pipe.keys.of("workflows")))
        return sorted(WorkflowName(one.decode()) for one in raw)

    async def definition(self, workflow: WorkflowName) -> tuple[Digest, bytes] | None:
        """The latest digest and the packed facts of a workflow known by name; None: never registered."""
        key = self.pipe.keys.of("definition", workflow)
        latest = cast("bytes | None", await self.pipe.command("HGET", key, "latest"))
        if latest is None:
            return None
        facts = cast("bytes | None", await self.pipe.command("HGET", key, f"digest:{latest.decode()}"))
        return Digest(latest.decode()), facts or b""


def unpacked_facts(raw: bytes) -> dict[str, object]:
    """What :meth:`RosterStore.heartbeat` packed."""
    found = cast("dict[bytes, object]", unpack(raw))
    return {key.decode(): value.decode() if isinstance(value, bytes) else value for key, value in found.items()}

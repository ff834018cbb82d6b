"""How much waits and how much runs, per workflow: from streams and their groups, without looking for keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.broker.packing import unpack
from broker_wf.core.ids import PRIORITIES
from broker_wf.inspector.replies import byte_mapping, entries, mapping, scored, server_ms, text
from broker_wf.inspector.views import WorkflowView

_DIGEST = "digest:"
_GroupReply = Sequence[object] | BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """One stream as it stands.

    Attributes:
        behind: for each group how many entries it has not been given.
        last_ids: for each group with such entries the last one it was given.
    """

    key: str
    behind: int
    pending: int
    last_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The counts of one workflow."""

    class_path: str | None
    digest: str | None
    live: int
    ended: int
    serving: tuple[str, ...]
    streams: tuple[str, ...]
    oldest_live_ms: int | None
    max_runs: int | None
    limits: dict[str, int]


async def workflow_views(broker: Broker, workflows: Sequence[str], alive: Iterable[str]) -> tuple[WorkflowView, ...]:
    """The load of each workflow; ``alive`` are the ids of the workers whose heartbeat is fresh."""
    facts = await asyncio.gather(*(_facts(broker, name) for name in workflows))
    keys = [key for one in facts for key in one.streams]
    streams = dict(zip(keys, await asyncio.gather(*(_stream(broker, key) for key in keys)), strict=True))
    now = server_ms(await broker.pipe.command("TIME"))
    ids, views = set(alive), list[WorkflowView]()
    for name, one in zip(workflows, facts, strict=True):
        its = [streams[key] for key in one.streams]
        oldest = await _oldest_ms(broker, [stream for stream in its if stream.last_ids])
        waiting = sum(stream.behind for stream in its)
        if one.digest is None:
            # Nobody has served it yet: its streams are not known, and each of its runs waits for its start.
            waiting, oldest = one.live, one.oldest_live_ms
        views.append(
            WorkflowView(
                workflow=name,
                class_path=one.class_path,
                digest=one.digest,
                workers=len(ids.intersection(one.serving)),
                live_runs=one.live,
                ended_runs=one.ended,
                waiting=waiting,
                running=sum(stream.pending for stream in its),
                oldest_waiting_ms=None if oldest is None else max(0, now - oldest),
                max_runs=one.max_runs,
                limits=one.limits,
            )
        )
    return tuple(views)


async def _facts(broker: Broker, workflow: str) -> _Facts:
    ask, key = broker.pipe.command, broker.keys.of
    live, ended, definition, serving, first = await asyncio.gather(
        ask("ZCARD", key("live_runs", workflow)),
        ask("ZCARD", key("ended_runs", workflow)),
        ask("HGETALL", key("definition", workflow)),
        ask("ZRANGE", key("serving", workflow), 0, -1, "WITHSCORES"),
        ask("ZRANGE", key("live_runs", workflow), 0, 0, "WITHSCORES"),
    )
    fields = mapping(definition)
    max_runs, limits = _limits(fields)
    return _Facts(
        class_path=text(fields["class"]) if "class" in fields else None,
        digest=text(fields["latest"]) if "latest" in fields else None,
        live=cast(int, live),
        ended=cast(int, ended),
        serving=tuple(worker for worker, _ in scored(serving)),
        streams=_streams(broker, workflow, fields),
        oldest_live_ms=next((accepted_ms for _, accepted_ms in scored(first)), None),
        max_runs=max_runs,
        limits=limits,
    )


def _limits(fields: dict[str, bytes]) -> tuple[int | None, dict[str, int]]:
    """How many runs, and of which steps how many deliveries, go on at one time in the latest version."""
    raw = fields.get(_DIGEST + text(fields["latest"])) if "latest" in fields else None
    if raw is None:
        return None, {}
    facts = byte_mapping(unpack(raw))
    steps = cast("list[dict[bytes, object]]", facts[b"steps"])
    limits = {text(one[b"name"]): cast(int, one.get(b"num_workers", 0)) for one in steps}
    return cast("int | None", facts.get(b"max_runs")) or None, {name: most for name, most in limits.items() if most}


def _streams(broker: Broker, workflow: str, fields: dict[str, bytes]) -> tuple[str, ...]:
    """Every stream of a workflow: of its lane, of its priorities, and of its digests, where runs are set aside."""
    keys, lanes = dict[str, None](), [workflow, *(f"{workflow}#{one}" for one in PRIORITIES)]
    for name, raw in fields.items():
        if not name.startswith(_DIGEST):
            continue
        aside = f"{workflow}#{name.removeprefix(_DIGEST)}"
        for event, is_join in _stream_events(raw):
            if not is_join:
                keys.update((broker.keys.of("work", lane, event), None) for lane in lanes)
            keys.update((broker.keys.of("again", lane, event), None) for lane in lanes)
            keys[broker.keys.of("again", aside, event)] = None
    return tuple(keys)


def _stream_events(raw: bytes) -> list[tuple[str, bool]]:
    """The events that name streams, and whether only joins are in them."""
    facts = byte_mapping(unpack(raw))
    found: list[tuple[str, bool]] = []
    for step in cast("list[dict[bytes, object]]", facts[b"steps"]):
        takes = cast("list[list[bytes]]", step[b"takes"])
        if step[b"intake"] == b"single":
            found += [(text(name), False) for slot in takes for name in slot]
        else:
            found.append((text(takes[0][0]), True))
    return found


async def _stream(broker: Broker, key: str) -> _Stream:
    length, groups = await asyncio.gather(
        broker.pipe.command("XLEN", key), broker.pipe.command("XINFO", "GROUPS", key), return_exceptions=True
    )
    behind, pending, last_ids = 0, 0, list[str]()
    if isinstance(length, int) and length > 0 and not _groups(groups):
        # Nobody has read it yet: the groups of a priority come with the first claim.
        return _Stream(key=key, behind=length, pending=0, last_ids=("0-0",))
    for one in _groups(groups):
        count = _behind(one, cast(int, length))
        behind += count
        pending += cast(int, one[b"pending"])
        if count:
            last_ids.append(text(one[b"last-delivered-id"]))
    return _Stream(key=key, behind=behind, pending=pending, last_ids=tuple(last_ids))


def _groups(reply: object) -> list[dict[bytes, object]]:
    """The groups of a stream; none if it does not exist, which the server calls an error."""
    if isinstance(reply, BaseException):
        return []
    return [cast("dict[bytes, object]", byte_mapping(one)) for one in cast("list[object]", reply)]


def _behind(group: dict[bytes, object], length: int) -> int:
    """Entries a group has not been given: its lag, or what is neither gone nor in its hands.

    The server forgets a group's lag once entries were deleted out of order.
    """
    lag = group.get(b"lag")
    left = max(0, length - cast(int, group[b"pending"]))
    return min(lag, left) if isinstance(lag, int) else left


async def _oldest_ms(broker: Broker, streams: Sequence[_Stream]) -> int | None:
    """When the entry was added that has waited longest; None if none waits."""
    asked = [
        broker.pipe.command("XRANGE", stream.key, f"({last_id}", "+", "COUNT", 1)
        for stream in streams
        for last_id in stream.last_ids
    ]
    found = [entries(reply) for reply in await asyncio.gather(*asked)]
    return min((int(one[0][0].partition("-")[0]) for one in found if one), default=None)

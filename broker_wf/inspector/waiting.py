"""What runs wait for, and what they have asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.notes import NOTES
from broker_wf.core.ids import RunId, WorkflowName
from broker_wf.inspector.records import Record, done_begin, event_views, record_of
from broker_wf.inspector.replies import mapping, text
from broker_wf.inspector.views import EventView, RunSummary, WaitView, moment

_OPEN = b"w"
_LOOKED_BACK = 100
"""How many of the last events of a run are looked at for its question."""


async def list_waits(broker: Broker, runs: Sequence[RunSummary]) -> list[WaitView]:
    """See ``Inspector.waiting``."""
    found = await asyncio.gather(*(_waits_of_run(broker, run) for run in runs))
    waits = [wait for of_run in found for wait in of_run]
    return sorted(waits, key=lambda one: (one.asked_at is None, one.asked_at or moment(0), one.run_id, one.delivery))


async def _waits_of_run(broker: Broker, run: RunSummary) -> list[WaitView]:
    raw, at_work = await asyncio.gather(
        broker.pipe.command("HGETALL", broker.keys.of("waiting", run.run_id)),
        broker.pipe.command("EXISTS", broker.keys.of("live", run.run_id), broker.keys.of("backlog", run.run_id)),
    )
    if not raw and not at_work:
        return await _wait_of_idle(broker, run)
    parked = {delivery: record_of(packed) for delivery, packed in mapping(raw).items()}
    found = await asyncio.gather(*(_waits_of(broker, run, delivery, record) for delivery, record in parked.items()))
    return [wait for of_delivery in found for wait in of_delivery]


async def _waits_of(broker: Broker, run: RunSummary, delivery: str, record: Record) -> list[WaitView]:
    raw = await broker.pipe.command("HGETALL", broker.keys.of("waits", run.run_id, delivery))
    waiters = {waiter: record_of(packed) for waiter, packed in mapping(raw).items()}
    still = {waiter: facts for waiter, facts in waiters.items() if facts.get("s") == _OPEN}
    asked = await asyncio.gather(*(_asked(broker, RunId(run.run_id), facts) for facts in still.values()))
    return [
        WaitView(
            run_id=run.run_id,
            workflow=run.workflow,
            step=text(record["s"]),
            delivery=delivery,
            waiter_id=waiter.split("=", 2)[2] if waiter.startswith("=") else None,
            events=tuple(text(name) for name in cast("list[object]", facts.get("n", []))),
            requires=tuple(sorted(text(name) for name in cast("dict[object, object]", facts.get("f") or {}))),
            question_type=question.type if question else None,
            question=question.value if question else None,
            asked_at=question.at if question else None,
            due_at=_due(facts),
        )
        for (waiter, facts), question in zip(still.items(), asked, strict=True)
    ]


async def _wait_of_idle(broker: Broker, run: RunSummary) -> list[WaitView]:
    """What a run waits for of which no step executes or waits: it goes on when somebody sends an event."""
    definition, last, status = await asyncio.gather(
        broker.roster.definition(WorkflowName(run.workflow)),
        broker.feed.last(RunId(run.run_id), _LOOKED_BACK),
        broker.pipe.command("HMGET", broker.keys.of("run", run.run_id), "status", "deadline_ms"),
    )
    still, deadline_ms = cast("list[bytes | None]", status)
    if still is None or text(still) != "running":
        return []
    facts: Record = record_of(definition[1]) if definition and definition[1] else {}
    entry = await _question_in(broker, RunId(run.run_id), last, facts)
    question = None if entry is None else await _shown(broker, RunId(run.run_id), entry)
    return [
        WaitView(
            run_id=run.run_id,
            workflow=run.workflow,
            step="" if entry is None else entry.step,
            delivery="",
            waiter_id=None,
            events=_named(facts, "answers"),
            requires=(),
            question_type=question.type if question else None,
            question=question.value if question else None,
            asked_at=question.at if question else None,
            due_at=None if deadline_ms is None else moment(int(deadline_ms)),
        )
    ]


async def _question_in(broker: Broker, run_id: RunId, last: Sequence[FeedEntry], facts: Record) -> FeedEntry | None:
    """The newest question that is open; of a workflow of which nothing is known what a step has published last."""
    asks = _named(facts, "asks")
    asked = [one for one in last if not one.of_waiter and (one.name in asks if facts else one.name != NOTES)]
    if not asked:
        return None
    return open_question(asked, await _answers(broker, run_id, facts))


def open_question(asked: Sequence[FeedEntry], answered_ms: Sequence[int]) -> FeedEntry | None:
    """The newest question that is left when each answer has taken the oldest one that stood then.

    Args:
        asked: questions that no waiter asked, newest first.
        answered_ms: when a step began with an answer, for each of them.
    """
    left = list(asked)
    for moment_ms in sorted(answered_ms):
        if left and left[-1].at_ms <= moment_ms:
            left.pop()
    return left[0] if left else None


async def _answers(broker: Broker, run_id: RunId, facts: Record) -> list[int]:
    """When the events from outside began to be worked on that may have been answers, one moment for each."""
    takers = _takers_of_answers(facts)
    begun: dict[str, int] = {}
    cursor = -1
    while cursor:
        page = broker.pipe.command(
            "HSCAN", broker.keys.of("done", run_id), max(cursor, 0), "MATCH", "x*", "COUNT", 1000
        )
        raw, marks = cast("tuple[bytes, object]", await page)
        cursor = int(raw)
        for delivery, mark in mapping(marks).items():
            step, begun_ms = done_begin(mark)
            if not facts or step in takers:
                event = delivery.rpartition("@")[0]
                begun[event] = min(begun_ms, begun.get(event, begun_ms))
    return list(begun.values())


def _takers_of_answers(facts: Record) -> set[str]:
    answers = set(_named(facts, "answers"))
    steps = cast("list[dict[bytes, object]]", facts.get("steps") or [])
    return {text(step[b"name"]) for step in steps if answers & set(_taken(step))}


def _taken(step: dict[bytes, object]) -> Iterator[str]:
    for slot in cast("list[list[object]]", step[b"takes"]):
        yield from (text(name) for name in slot)


def _named(facts: Record, key: str) -> tuple[str, ...]:
    return tuple(text(name) for name in cast("list[object]", facts.get(key) or ()))


async def _shown(broker: Broker, run_id: RunId, entry: FeedEntry) -> EventView:
    (view,) = event_views(entry, await broker.blobs.fetch(run_id, (entry.payload,)))
    return view


def _due(facts: Record) -> datetime | None:
    due = facts.get("d")
    return moment(int(due)) if isinstance(due, int | float) else None


async def _asked(broker: Broker, run_id: RunId, facts: Record) -> EventView | None:
    """The waiter's question, where the feed has it still."""
    seq = facts.get("k")
    if not isinstance(seq, int | float):
        return None
    entries = await broker.feed.read(run_id, int(seq) - 1, 1)
    if not entries or entries[0].seq != int(seq):
        return None
    return await _shown(broker, run_id, entries[0])

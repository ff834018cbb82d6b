"""What steps wait for, and what they have asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.core.ids import RunId
from broker_wf.inspector.records import Record, event_views, record_of
from broker_wf.inspector.replies import mapping, text
from broker_wf.inspector.views import EventView, RunSummary, WaitView, moment

_OPEN = b"w"


async def list_waits(broker: Broker, runs: Sequence[RunSummary]) -> list[WaitView]:
    """See ``Inspector.waiting``."""
    found = await asyncio.gather(*(_waits_of_run(broker, run) for run in runs))
    waits = [wait for of_run in found for wait in of_run]
    return sorted(waits, key=lambda one: (one.asked_at is None, one.asked_at or moment(0), one.run_id, one.delivery))


async def _waits_of_run(broker: Broker, run: RunSummary) -> list[WaitView]:
    raw = await broker.pipe.command("HGETALL", broker.keys.of("waiting", run.run_id))
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
    (view,) = event_views(entries[0], await broker.blobs.fetch(run_id, (entries[0].payload,)))
    return view

"""Lists of runs, newest first, over the indexes of live and of ended runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from broker_wf.broker.broker import Broker
from broker_wf.broker.kinds import FIELD, of_values
from broker_wf.broker.reruns import tags_of
from broker_wf.core.ids import RunId
from broker_wf.errors import AmbiguousRunIdError, RunNotFoundError
from broker_wf.inspector.records import error_view, moment_of
from broker_wf.inspector.replies import scored, text, texts
from broker_wf.inspector.views import RunSummary, moment

RUNNING = "running"
QUEUED = "queued"
STATUSES = (RUNNING, QUEUED, "completed", "failed", "cancelled", "timed_out")

_FIELDS = (
    "status",
    FIELD,
    "created_ms",
    "started_ms",
    "ended_ms",
    "later_window",
    "tags",
    "begins_ms",
    "priority",
    "fairness",
    "error",
)
_READ_AT_ONCE = 200
_SCANNED_AT_ONCE = 5_000
_SHOWN_CANDIDATES = 5
_SHOWN_ERROR = 300


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """Where a run stands in a list: a live one by when it was accepted, an ended one by when it ended."""

    at_ms: int
    run_id: str

    @classmethod
    def of(cls, cursor: str) -> _Place:
        at_ms, _, run_id = cursor.partition("-")
        if not at_ms.isdigit():
            raise ValueError(f"{cursor!r} is no cursor of a list of runs")
        return cls(int(at_ms), run_id)

    def __str__(self) -> str:
        return f"{self.at_ms}-{self.run_id}"


async def list_runs(
    broker: Broker, workflows: Sequence[str], status: str | None, limit: int, before: str | None
) -> list[RunSummary]:
    """See ``Inspector.runs``."""
    families = ("live_runs", "ended_runs")
    if status is not None:
        families = ("live_runs",) if status in (RUNNING, QUEUED) else ("ended_runs",)
    indexes = [broker.keys.of(family, workflow) for workflow in workflows for family in families]
    found: dict[str, RunSummary] = {}
    place = _Place.of(before) if before else None
    count = max(limit, _READ_AT_ONCE) if status is not None else limit
    while len(found) < limit:
        pages = await asyncio.gather(*(_page(broker, index, place, count) for index in indexes))
        places = sorted({one for page in pages for one in page}, reverse=True)[:count]
        if not places:
            break
        for summary in await _summaries(broker, places):
            if status in (None, summary.status):
                found.setdefault(summary.run_id, summary)
        place = places[-1]
    return list(found.values())[:limit]


async def _page(broker: Broker, index: str, before: _Place | None, count: int) -> list[_Place]:
    """Up to ``count`` places of one index below a place; more where moments coincide."""
    newest = "+inf" if before is None else f"({before.at_ms}"
    asked = [broker.pipe.command("ZREVRANGEBYSCORE", index, newest, "-inf", "WITHSCORES", "LIMIT", 0, count)]
    if before is not None:
        asked.append(broker.pipe.command("ZREVRANGEBYSCORE", index, before.at_ms, before.at_ms, "WITHSCORES"))
    replies = await asyncio.gather(*asked)
    places = [_Place(score, run_id) for reply in replies for run_id, score in scored(reply)]
    return [one for one in places if before is None or one < before]


async def _summaries(broker: Broker, places: Sequence[_Place]) -> list[RunSummary]:
    """The runs there still are; an index may name some whose retention is over."""
    replies = await asyncio.gather(
        *(broker.pipe.command("HMGET", broker.keys.of("run", place.run_id), *_FIELDS) for place in places)
    )
    made: list[RunSummary] = []
    for place, reply in zip(places, replies, strict=True):
        values = cast("list[bytes | None]", reply)
        fields = of_values(_FIELDS, values)
        if "status" not in fields:
            continue
        made.append(
            RunSummary(
                run_id=place.run_id,
                workflow=text(fields["workflow"]),
                status=shown_status(fields),
                created_at=moment_of(fields, "created_ms") or moment(place.at_ms),
                started_at=moment_of(fields, "started_ms"),
                ended_at=moment_of(fields, "ended_ms"),
                cursor=str(place),
                tags=tags_of(fields),
                begins_at=moment_of(fields, "begins_ms"),
                priority=text(fields.get("priority", b"normal")),
                fairness_key=text(fields["fairness"]) if "fairness" in fields else None,
                error=_why(fields),
            )
        )
    return made


def _why(fields: Mapping[str, bytes]) -> str | None:
    """What a run ended badly with, short enough for a list."""
    status = text(fields["status"])
    error = error_view(status, fields.get("error", b"")) if status in ("failed", "timed_out") else None
    if error is None:
        return None
    said = f"{error.type.rpartition('.')[2]}: {error.message}"
    return said if len(said) <= _SHOWN_ERROR else f"{said[:_SHOWN_ERROR]}…"


def shown_status(fields: Mapping[str, bytes]) -> str:
    """The status of a run's record; ``queued`` for a live run that waits for its turn among those of its workflow."""
    return QUEUED if "later_window" in fields and text(fields["status"]) == RUNNING else text(fields["status"])


async def find_run(broker: Broker, prefix: str) -> RunId:
    """The run whose id this is, else the only one whose id begins so.

    Raises:
        RunNotFoundError: there is none.
        AmbiguousRunIdError: there are several; names some.
    """
    if prefix and await broker.pipe.command("EXISTS", broker.keys.of("run", prefix)):
        return RunId(prefix)
    workflows = await known_workflows(broker) if prefix else []
    indexes = [broker.keys.of(family, name) for name in workflows for family in ("live_runs", "ended_runs")]
    pages = await asyncio.gather(*(_ids_with(broker, index, prefix) for index in indexes))
    found = {run_id for page in pages for run_id in page}
    there = [one for one in sorted(found) if await broker.pipe.command("EXISTS", broker.keys.of("run", one))]
    if len(there) > 1:
        raise AmbiguousRunIdError(prefix, tuple(there[:_SHOWN_CANDIDATES]))
    if not there:
        raise RunNotFoundError(prefix)
    return RunId(there[0])


async def _ids_with(broker: Broker, index: str, prefix: str) -> set[str]:
    pattern = "".join(f"\\{c}" if c in "*?[]\\^" else c for c in prefix) + "*"
    cursor, found = "0", set[str]()
    while True:
        reply = await broker.pipe.command("ZSCAN", index, cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE)
        cursor, members = _scan(reply)
        found.update(member for member, _ in scored(members))
        if cursor == "0":
            return found


def _scan(reply: object) -> tuple[str, object]:
    cursor, members = cast("tuple[object, object]", reply)
    return text(cursor), members


async def known_workflows(broker: Broker) -> list[str]:
    """Names of all workflows ever used in the namespace."""
    return sorted(texts(await broker.pipe.command("SMEMBERS", broker.keys.of("workflows"))))

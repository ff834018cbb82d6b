"""Runs that fit what is asked for, a page at a time: what no index tells is read from their records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from broker_wf.inspector.inspector import Inspector
from broker_wf.inspector.records import error_view
from broker_wf.inspector.replies import server_ms
from broker_wf.inspector.retrying import last_errors
from broker_wf.inspector.views import RunSummary, moment

_SEARCHED = 20_000
_SEARCHED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are meant: those that fit all of this.

    Attributes:
        workflow: its name.
        status: running, queued, completed, failed, cancelled or timed_out.
        since: live runs accepted, and ended runs ended, at this moment or later.
        q: stands in the id or in the workflow's name.
        tags: that the run has, with these values.
        error: stands in the class or the text of what a run has ended badly with, or of what a live run tries again
            after, however it is written.
        longer_than_s: since its first step began, up to its end or up to now.
    """

    workflow: str | None = None
    status: str | None = None
    since: datetime | None = None
    q: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str | None = None
    longer_than_s: float | None = None

    @property
    def is_search(self) -> bool:
        """Whether records have to be looked through for it."""
        return bool(self.q or self.tags or self.error or self.longer_than_s is not None)

    def fits(self, run: RunSummary, now: datetime) -> bool:
        """Whether a run is meant, as far as its summary tells."""
        if self.q and self.q not in run.run_id and self.q not in run.workflow:
            return False
        if any(run.tags.get(name) != value for name, value in self.tags.items()):
            return False
        if self.longer_than_s is None:
            return True
        took = None if run.started_at is None else (run.ended_at or now) - run.started_at
        return took is not None and took > timedelta(seconds=self.longer_than_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of them.

    Attributes:
        next: the cursor behind which it goes on; None: there is no more.
    """

    runs: list[RunSummary]
    next: str | None


async def search(inspector: Inspector, wanted: RunFilter, limit: int, cursor: str | None = None) -> Found:
    """Runs that are meant, newest first. So many runs are looked through at most; ``next`` goes on from there.

    Raises:
        ValueError: ``cursor`` is none.
    """
    found, looked = list[RunSummary](), 0
    at_once = max(limit, _SEARCHED_AT_ONCE) if wanted.is_search else limit
    now = moment(server_ms(await inspector.broker.pipe.command("TIME")))
    while len(found) < limit:
        page = await inspector.runs(wanted.workflow, wanted.status, at_once, cursor)
        within = [run for run in page if wanted.since is None or (run.ended_at or run.created_at) >= wanted.since]
        fitting = await _with_error(inspector, wanted.error, [run for run in within if wanted.fits(run, now)])
        found += fitting
        if len(found) >= limit:
            found = found[:limit]
            is_last = len(within) < at_once and found[-1] is within[-1]
            return Found(runs=found, next=None if is_last else found[-1].cursor)
        if len(within) < len(page) or len(page) < at_once:
            return Found(runs=found, next=None)
        cursor = page[-1].cursor
        looked += len(page)
        if looked >= _SEARCHED:
            break
    return Found(runs=found, next=cursor)


async def _with_error(inspector: Inspector, text: str | None, runs: Sequence[RunSummary]) -> list[RunSummary]:
    """Those of the runs in whose error a text stands: what they ended with, or what they try again after."""
    if not text:
        return list(runs)
    ended = [run for run in runs if run.status in ("failed", "timed_out")]
    live = [run.run_id for run in runs if run.ended_at is None]
    broker, wanted = inspector.broker, text.casefold()
    asked = (broker.pipe.command("HGET", broker.keys.of("run", run.run_id), "error") for run in ended)
    errors = await last_errors(broker, live)
    for run, raw in zip(ended, await asyncio.gather(*asked), strict=True):
        error = error_view(run.status, cast("bytes | None", raw) or b"")
        errors[run.run_id] = [] if error is None else [error]
    return [
        run
        for run in runs
        if any(wanted in f"{one.type}: {one.message}".casefold() for one in errors.get(run.run_id, ()))
    ]


def tags_from(texts: Sequence[str]) -> dict[str, str]:
    """Tags as people write them: ``NAME=VALUE``.

    Raises:
        ValueError: one is none.
    """
    found: dict[str, str] = {}
    for one in texts:
        name, is_given, value = one.partition("=")
        if not is_given or not name:
            raise ValueError(f"tag {one!r} is not of the form NAME=VALUE")
        found[name] = value
    return found

"""Done again: runs that have ended, and what was given up on. One, or many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from broker_wf.broker.broker import Broker
from broker_wf.core.ids import RunId
from broker_wf.core.run_ids import checked_run_id, new_run_id
from broker_wf.errors import BrokerError, RunNotFoundError
from broker_wf.inspector import Inspector
from broker_wf.inspector.listing import QUEUED, RUNNING
from broker_wf.inspector.searching import RunFilter, search
from broker_wf.inspector.views import DeadLetterView, RunSummary

LIVE = (RUNNING, QUEUED)
BADLY = ("failed", "timed_out", "cancelled")
"""Runs that are done again where nobody says which."""
_LETTERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What became of one wish.

    Attributes:
        id: of the run, or of the dead letter.
        run_id: the run that does it again; None: none does.
        error: why not; None also where that was only a dry run.
    """

    id: str
    run_id: str | None = None
    error: str | None = None


async def rerun(broker: Broker, run_id: str, *, from_step: str | None = None, new_id: str | None = None) -> RunId:
    """Do a run again: whole, or from a step on.

    Args:
        from_step: if the run had not finished it, it goes on from all that it had not finished. Otherwise that step
            is executed again, with what comes of it. None: whole.
        new_id: of the new run: asked for again, it is the run there is. None: any.

    Raises:
        RunNotFoundError, NothingToRerunError, RunConflictError, BackpressureError: see ``RerunStore``.
        ValueError: no run can have such an id.
    """
    made = new_run_id() if new_id is None else checked_run_id(new_id)
    if from_step is None:
        await broker.reruns.whole(RunId(run_id), made)
        return made
    rest = await broker.reruns.rest(RunId(run_id))
    if rest is not None and from_step in rest.steps:
        await broker.reruns.unfinished(RunId(run_id), made, from_step)
    else:
        await broker.reruns.from_finished(RunId(run_id), made, from_step)
    return made


async def rerun_each(broker: Broker, run_ids: Sequence[str], *, unfinished: bool) -> list[Again]:
    """Do runs again, each by itself.

    Args:
        unfinished: go on from what each had not finished.
    """
    return [await _rerun_or_say(broker, RunId(run_id), unfinished=unfinished) for run_id in run_ids]


async def _rerun_or_say(broker: Broker, run_id: RunId, *, unfinished: bool) -> Again:
    made = new_run_id()
    try:
        if unfinished:
            await broker.reruns.unfinished(run_id, made)
        else:
            await broker.reruns.whole(run_id, made)
    except BrokerError as error:
        return Again(id=run_id, error=str(error))
    return Again(id=run_id, run_id=made)


async def live(inspector: Inspector, wanted: RunFilter, limit: int) -> list[str]:
    """Live runs that fit, whatever else fits beside them."""
    return await _fitting(inspector, wanted, [one for one in LIVE if wanted.status in (None, one)], limit)


async def ended_badly(inspector: Inspector, wanted: RunFilter, limit: int) -> list[str]:
    """Runs that fit and ended badly, or as is asked for, and that nobody has done again yet."""
    statuses = BADLY if wanted.status is None else [one for one in (wanted.status,) if one not in LIVE]
    return await _fitting(inspector, wanted, statuses, limit)


async def _fitting(inspector: Inspector, wanted: RunFilter, statuses: Sequence[str], limit: int) -> list[str]:
    found = list[str]()
    for status in statuses:
        cursor, is_last = None, False
        while len(found) < limit and not is_last:
            page = await search(inspector, replace(wanted, status=status), limit, cursor)
            found += await _not_done_again(inspector.broker, page.runs)
            cursor, is_last = page.next, page.next is None
    return found[:limit]


async def _not_done_again(broker: Broker, runs: Sequence[RunSummary]) -> list[str]:
    """Those of the runs that nobody has done again yet."""
    asked = (broker.pipe.command("HGET", broker.keys.of("run", one.run_id), "rerun_as") for one in runs)
    return [one.run_id for one, again in zip(runs, await asyncio.gather(*asked), strict=True) if again is None]


async def retry_each(broker: Broker, ids: Sequence[str]) -> list[Again]:
    """Do again what was given up on: its run goes on, as a new one, from what it had not finished.

    A letter is gone then. Whoever asks at the same time is told of the same run.
    """
    return [await _retry_or_say(broker, one) for one in ids]


async def _retry_or_say(broker: Broker, letter: str) -> Again:
    try:
        return Again(id=letter, run_id=await broker.letters.retry(letter))
    except RunNotFoundError:
        return Again(id=letter, error="its run is kept no longer")
    except (BrokerError, ValueError) as error:
        return Again(id=letter, error=str(error))


async def letters_like(
    inspector: Inspector, *, workflow: str | None, step: str | None, kind: str | None, limit: int
) -> list[DeadLetterView]:
    """Dead letters that fit, newest first."""
    wanted = {"workflow": workflow, "step": step, "kind": kind}
    asked = {name: value for name, value in wanted.items() if value is not None}
    letters = await inspector.dead_letters(_LETTERS)
    return [one for one in letters if all(getattr(one, name) == value for name, value in asked.items())][:limit]

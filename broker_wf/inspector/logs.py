"""What the steps of a run have logged."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from broker_wf.broker.broker import Broker
from broker_wf.core.clock import SystemClock
from broker_wf.core.ids import RunId
from broker_wf.inspector.views import LogView, moment

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_READ_AT_ONCE = 500
_LOOK_EVERY_MS = 300


async def read_logs(
    broker: Broker, run_id: str, *, after: str = "", limit: int = 1_000, step: str | None = None, level: str = "DEBUG"
) -> tuple[list[LogView], str]:
    """Lines behind a cursor, oldest first, and the cursor of what follows.

    Args:
        run_id: the whole id; of a run that is not known there are no lines.
        after: a cursor; empty: from the first line that is kept.
        limit: of lines.
        step: only its lines.
        level: only lines of this level and above.

    Raises:
        ValueError: ``after`` is no cursor.
    """
    found, least = list[LogView](), LEVELS[level]
    while len(found) < limit:
        page = await broker.logs.read(RunId(run_id), after, _READ_AT_ONCE)
        for cursor, line in page:
            after = cursor
            if line.rank >= least and step in (None, line.step):
                found.append(
                    LogView(
                        cursor=cursor,
                        at=moment(line.at_ms),
                        level=line.level,
                        logger=line.logger,
                        step=line.step,
                        attempt=line.attempt,
                        worker=line.worker,
                        text=line.text,
                    )
                )
            if len(found) == limit:
                break
        if len(page) < _READ_AT_ONCE:
            break
    return found, after


async def follow_logs(
    broker: Broker, run_id: str, *, after: str = "", step: str | None = None, level: str = "DEBUG"
) -> AsyncGenerator[LogView, None]:
    """Lines as they come, until the run has ended. Takes and raises what :func:`read_logs` does.

    Raises:
        RunNotFoundError: no such run.
    """
    clock, over = SystemClock(), False
    while True:
        lines, after = await read_logs(broker, run_id, after=after, step=step, level=level)
        for line in lines:
            yield line
        # The last lines come with the end of the last step, or just behind it: one more look.
        if over and not lines:
            return
        over = (await broker.runs.attach(RunId(run_id), None)).status != "running"
        await clock.sleep_ms(_LOOK_EVERY_MS)

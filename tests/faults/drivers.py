"""Drivers in processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

from broker_wf.settings import Settings
from tests.apps.held import Everything


def forking() -> ForkServerContext:
    """Of processes that need not import anything; all must come from here, for the first one begins it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def driver(settings: Settings, run: str, count: int, pause_s: float) -> BaseProcess:
    """One that begins a run of ``Everything`` and follows it; in milliseconds, but for the first."""
    process = forking().Process(target=_drive, args=(settings, run, count, pause_s))
    process.start()
    return process


def _drive(settings: Settings, run: str, count: int, pause_s: float) -> None:
    async def follow() -> None:
        handler = Everything(timeout=120, broker=settings).run(run_id=run, count=count, pause_s=pause_s)
        await handler.stop_event_result()

    asyncio.run(follow())

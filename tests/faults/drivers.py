"""Drivers in processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.process import BaseProcess

from broker_wf.settings import Settings
from tests.apps.held import Everything


def driver(settings: Settings, run: str, count: int, pause_s: float) -> BaseProcess:
    """One that begins a run of ``Everything`` and follows it; in milliseconds, but for the first."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__])
    process = forking.Process(target=_drive, args=(settings, run, count, pause_s))
    process.start()
    return process


def _drive(settings: Settings, run: str, count: int, pause_s: float) -> None:
    async def follow() -> None:
        handler = Everything(timeout=120, broker=settings).run(run_id=run, count=count, pause_s=pause_s)
        await handler.stop_event_result()

    asyncio.run(follow())

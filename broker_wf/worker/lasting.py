"""What a worker does all the time goes on doing it, whatever it meets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine

from broker_wf.core.clock import Clock

log = logging.getLogger("broker_wf.worker")

_PAUSE_MS = 1000


async def lasting(what: str, job: Callable[[], Coroutine[object, object, None]], clock: Clock) -> None:
    """Do a job until it returns or is cancelled; begin it anew, after a second, if it breaks.

    A worker whose mailbox or sweeper has ended without a word would look alive and do nothing.
    """
    while True:
        try:
            return await job()
        except Exception:
            log.exception("the worker's %s broke; it begins anew", what)
        await clock.sleep_ms(_PAUSE_MS)

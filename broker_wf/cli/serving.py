"""A worker in this process, until signals stop it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

from broker_wf.broker.broker import Broker, open_broker
from broker_wf.engine.program import Program
from broker_wf.errors import ServerUnreachableError
from broker_wf.home import resolve_url
from broker_wf.settings import Settings
from broker_wf.worker.serving import Stops, run_worker

log = logging.getLogger("broker_wf.worker")

T = TypeVar("T")

_GARBAGE = 20_000
"""Objects that have come and not gone before the youngest are looked at."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0
_LAST_WAIT_S = 1.0


def run_in_new_loop(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end, in uvloop's event loop where that is installed."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if find_spec("uvloop") is not None:
        factory = import_module("uvloop").new_event_loop
    loop = factory()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        loop.run_until_complete(_ended(rest))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


async def _ended(tasks: set[asyncio.Task[object]]) -> None:
    """Give tasks that were cancelled the time to end. Code of a step may refuse to."""
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=_LAST_WAIT_S)
        for task in done:
            if not task.cancelled():
                task.exception()


async def serve(programs: Sequence[Program], settings: Settings, on_start: Callable[[], None], stops: Stops) -> bool:
    """Execute workflows until a stop is asked for, then drain. True if another process should go on in its place.

    Raises:
        ServerUnreachableError: no server has answered within ``connect_timeout_ms``; once one has, a lost one is
            waited for without end.
        ServerRefusedError, ServerStartError: there is no usable server.
        WorkflowConflictError: another class holds a workflow's name.
    """
    broker = await _connected(settings, stops)
    _collect_less()
    return broker is not None and await run_worker(programs, broker, settings, stops, on_start)


def _collect_less() -> None:
    """Let the garbage collector look at what was made since the start only, and more seldom.

    A process that executes thousands of steps a second makes and drops that many objects, while nearly all that lives
    was there when it began: modules, classes, workflows.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 50)


async def _connected(settings: Settings, stops: Stops) -> Broker | None:
    """The namespace; None if a stop was asked for before a server answered."""
    loop = asyncio.get_running_loop()
    give_up, pause_s = loop.time() + settings.connect_timeout_ms / 1000, _FIRST_PAUSE_S
    while not stops.asked.is_set():
        try:
            url, revive = await asyncio.to_thread(resolve_url, settings)
            return await open_broker(settings, url, patience_s=None, revive=revive)
        except ServerUnreachableError as error:
            if loop.time() + pause_s > give_up:
                raise
            log.debug("%s", error)
        await asyncio.wait([asyncio.ensure_future(stops.asked.wait())], timeout=pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    return None

"""A worker in this process, until signals stop it."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

from broker_wf.broker.broker import Broker, open_broker
from broker_wf.core.ids import Lane
from broker_wf.engine.program import Program
from broker_wf.errors import ServerUnreachableError
from broker_wf.home import resolve_url
from broker_wf.settings import Settings
from broker_wf.worker.worker import Served, Worker

log = logging.getLogger("broker_wf.worker")

T = TypeVar("T")

_STOPS = (signal.SIGTERM, signal.SIGINT)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0


@dataclass(slots=True)
class Stops:
    """Signals of this process: the first asks for a drain, the next to hand everything back at once."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self) -> None:
        """Hear SIGTERM and SIGINT, in the running event loop."""
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """As a signal does."""
        (self.hurried if self.asked.is_set() else self.asked).set()


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
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


async def serve(programs: Sequence[Program], settings: Settings, on_start: Callable[[], None], stops: Stops) -> None:
    """Execute workflows until a stop is asked for, then drain.

    Raises:
        ServerUnreachableError: no server has answered within ``connect_timeout_ms``; once one has, a lost one is
            waited for without end.
        ServerRefusedError, ServerStartError: there is no usable server.
        WorkflowConflictError: another class holds a workflow's name.
    """
    broker = await _connected(settings, stops)
    if broker is None:
        return
    try:
        worker = Worker(broker, settings)
        try:
            for program in programs:
                await worker.serve(Served(program=program, lane=Lane(program.spec.name)))
            worker.start()
            log.info("worker %s serves %s", worker.id, ", ".join(one.spec.name for one in programs))
            on_start()
            await stops.asked.wait()
        finally:
            await _stop(worker, settings.drain_timeout_ms, stops)
    finally:
        await broker.pipe.close()


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


async def _stop(worker: Worker, drain_ms: int, stops: Stops) -> None:
    """Drain; when a second signal comes, hand back at once what is left."""
    draining = asyncio.ensure_future(worker.stop(drain_ms))
    hurrying = asyncio.ensure_future(stops.hurried.wait())
    await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not draining.done():
        log.warning("told to stop at once")
        draining.cancel()
        await asyncio.wait([draining])
        await worker.stop(0)
        return
    await draining

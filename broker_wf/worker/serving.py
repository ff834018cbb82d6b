"""A worker process's life: serve workflows until a stop is asked for, then drain."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from broker_wf.broker.broker import Broker
from broker_wf.core.ids import Lane
from broker_wf.engine.program import Program
from broker_wf.resource import worker_resources
from broker_wf.settings import Settings
from broker_wf.worker.services import Served
from broker_wf.worker.worker import Worker

log = logging.getLogger("broker_wf.worker")

_STOPS = (signal.SIGTERM, signal.SIGINT)


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


async def run_worker(
    programs: Sequence[Program], broker: Broker, settings: Settings, stops: Stops, on_start: Callable[[], None]
) -> bool:
    """Execute workflows until a stop is asked for, then drain, close their resources and the broker.

    Args:
        on_start: called once the worker serves them all.

    Returns:
        False if it was told to stop; True if it stopped because code of a step cannot be stopped, so that another
        process should go on in its place.

    Raises:
        WorkflowConflictError: another class holds a workflow's name.
    """
    try:
        worker = Worker(broker, settings, apart=settings.renewal_process > 0)
        try:
            for program in programs:
                await worker.serve(Served(program=program, lane=Lane(program.spec.name)))
            worker.start()
            log.info("worker %s serves %s", worker.id, ", ".join(one.spec.name for one in programs))
            on_start()
            return await _spoiled_first(worker, stops)
        finally:
            await _stop(worker, settings.drain_timeout_ms, stops)
            for program in programs:
                await program.resources.close()
            await worker_resources.close()
    finally:
        await broker.pipe.close()


async def _spoiled_first(worker: Worker, stops: Stops) -> bool:
    """Wait for a signal, or for a step that cannot be stopped."""
    waits = [asyncio.ensure_future(event.wait()) for event in (stops.asked, worker.spoiled)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for one in waits:
        one.cancel()
    return not stops.asked.is_set()


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

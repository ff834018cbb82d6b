"""How a process reaches a namespace: one connection per event loop, and its own worker where runs execute here."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from broker_wf.broker.broker import Broker, open_broker
from broker_wf.core.ids import Lane, RunId
from broker_wf.core.tasks import outcome_of
from broker_wf.driver.client import Client, open_client
from broker_wf.engine.children import current_children
from broker_wf.engine.program import Program
from broker_wf.errors import BrokerError, without_password
from broker_wf.later import Later
from broker_wf.settings import Settings
from broker_wf.worker.services import Begun, Served

if TYPE_CHECKING:
    from broker_wf import embedded
    from broker_wf.worker import worker
else:  # A process that begins runs for workers elsewhere takes neither.
    embedded, worker = Later("broker_wf.embedded"), Later("broker_wf.worker.worker")

log = logging.getLogger("broker_wf")

_IDLE_LANES = 16
"""So many workflows without a live run are still served; another run of one of the others makes a new lane."""
_FORGET_AFTER_S = 1.0
"""A step that was claimed as its run ended may still be on its way to its instance."""
_servers: dict[Path, embedded.BundledServer] = {}
_servers_lock = threading.Lock()


def resolve_url(settings: Settings) -> tuple[str, Callable[[], object] | None]:
    """The server's URL, and what starts it again; the bundled server is started or joined. Blocks for up to 15 s.

    Raises:
        ServerStartError: the bundled server does not start.
    """
    if not settings.is_bundled:
        return settings.full_url, None
    directory = settings.data_dir
    with _servers_lock:
        server = _servers.get(directory)
        if server is None:
            server = _servers[directory] = embedded.BundledServer(
                directory, server_binary=settings.server_bin, linger_s=settings.linger_ms / 1000
            )
        return server.acquire(), server.ensure


@dataclass(slots=True, kw_only=True)
class Private:
    """The lane of a workflow whose runs execute in this process, each on the instance that began it.

    Attributes:
        live: the runs that have not ended, each with how many follow it.
        kept: it has a run that nobody follows, whose end is not heard of.
    """

    served: Served
    live: Counter[RunId] = field(default_factory=Counter[RunId])
    kept: bool = False

    def begins(self, run_id: RunId, program: Program, *, is_followed: bool) -> None:
        """Another run, or another who follows one."""
        if is_followed:
            # A step's own context is nothing for the runs that it begins.
            context = copy_context() if current_children.get() is None else Context()
            self.served.runs.setdefault(run_id, Begun(program, context))
            self.live[run_id] += 1
        else:
            self.kept = True
            if program is not self.served.program:
                self.served.runs.setdefault(run_id, Begun(program))

    def has_ended(self, run_id: RunId) -> None:
        """One who follows the run has heard of its end."""
        self.live[run_id] -= 1
        if self.live[run_id] <= 0:
            del self.live[run_id]
            asyncio.get_running_loop().call_later(_FORGET_AFTER_S, self._forget, run_id)

    def _forget(self, run_id: RunId) -> None:
        if run_id not in self.live:
            self.served.runs.pop(run_id, None)


@dataclass(slots=True, kw_only=True)
class Home:
    """A namespace, reached from one event loop.

    Attributes:
        worker: executes the runs of this process that nobody else may take; None until there is one.
    """

    settings: Settings
    broker: Broker
    client: Client
    worker: worker.Worker | None = None
    _private: dict[Hashable, Private] = field(default_factory=dict[Hashable, Private])
    _warned: set[Lane] = field(default_factory=set[Lane])
    _timers: list[asyncio.TimerHandle] = field(default_factory=list[asyncio.TimerHandle])
    _serving: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def private_lane(self, program: Program, run_id: RunId, *, is_followed: bool = True) -> Lane:
        """The lane in which a run of this very program executes here; see :meth:`has_ended`."""
        kind = _kind(program)
        async with self._serving:
            found = self._private.pop(kind, None)
            if found is None:
                found = Private(served=await self._serve(program))
            found.begins(run_id, program, is_followed=is_followed)
            self._private[kind] = found  # behind all that were used before
            return found.served.lane

    async def _serve(self, program: Program) -> Served:
        if self.worker is None:
            self.worker = worker.Worker(self.broker, self.settings)
            self.worker.start()
        lane = Lane(f"{program.spec.name}@{self.client.id}.{secrets.token_hex(2)}")
        served = Served(program=program, lane=lane, private=True)
        await self.worker.serve(served)
        return served

    def has_ended(self, program: Program, run_id: RunId) -> None:
        """A run in a private lane has ended, or has not begun. Lanes that have had no run for long are given up."""
        found = self._private.get(_kind(program))
        if found is None:
            return
        found.has_ended(run_id)
        if len(self._idle()) > _IDLE_LANES:
            task = asyncio.get_running_loop().create_task(self._retire())
            _kept.add(task)
            task.add_done_callback(_kept.discard)

    def _idle(self) -> list[Private]:
        """Those without a live run, the one that was used last at the end."""
        return [one for one in self._private.values() if not one.live and not one.kept]

    async def _retire(self) -> None:
        async with self._serving:
            for one in self._idle()[:-_IDLE_LANES]:
                del self._private[_kind(one.served.program)]
                if self.worker is not None:
                    try:
                        await self.worker.retire(one.served.lane)
                    except BrokerError as error:
                        log.debug("the keys of a lane expire by themselves: %s", error)

    async def shared_lane(self, program: Program) -> Lane:
        """The lane of the workers that serve this workflow. Warns if there are none.

        Raises:
            WorkflowConflictError: they serve another class under this name.
        """
        lane = Lane(program.spec.name)
        if lane not in self._warned:
            await self.broker.roster.check_class(program.spec)
        if lane not in self._warned:  # of many that have asked at one time one will warn
            self._warned.add(lane)
            wait_s = self.settings.no_worker_warning_ms / 1000
            later = asyncio.get_running_loop().call_later(wait_s, self._warn_later, lane, program.spec.class_path)
            self._timers.append(later)
        return lane

    async def adopt(self, run_id: RunId, program: Program) -> None:
        """Let an in-process run whose process has gone execute here.

        Raises:
            RunNotFoundError, RunEndedError: there is nothing to resume.
            NoWorkerForStepError: the run began with another graph of the workflow.
        """
        lane = await self.private_lane(program, run_id, is_followed=False)
        await self.broker.runs.adopt(run_id, lane, program.spec.digest)

    async def close(self) -> None:
        """Stop executing and following. Runs that have not ended stay as they are."""
        for timer in self._timers:
            timer.cancel()
        if self.worker is not None:
            await self.worker.stop(0)
        await self.client.close()

    def _warn_later(self, lane: Lane, class_path: str) -> None:
        task = asyncio.get_running_loop().create_task(self._warn_if_nobody_serves(lane, class_path))
        _kept.add(task)
        task.add_done_callback(_kept.discard)

    async def _warn_if_nobody_serves(self, lane: Lane, class_path: str) -> None:
        if await self.broker.roster.serving(lane, 3 * self.settings.heartbeat_ms) == 0:
            log.warning(
                "no worker serves workflow %s; its runs wait until one does. %s", lane, self._advice(class_path)
            )
            self._warned.discard(lane)

    def _advice(self, class_path: str) -> str:
        if "<locals>" in class_path:
            return (
                f"Its class {class_path} is defined in a function, where no other process can import it: move it to "
                "the top level of its module, or give no URL, so that this process executes its runs"
            )
        url = without_password(self.settings.url or "bundled://")
        return f"Start one: broker-wf worker {class_path} --url {url} --namespace {self.settings.namespace}"


def _kind(program: Program) -> Hashable:
    """What instances have in common whose runs share a lane."""
    spec = program.spec
    return spec.name, spec.digest, *spec.places.items(), None, *spec.places_per_run.items()


_kept: set[asyncio.Task[None]] = set()
_homes: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, asyncio.Task[Home]]] = WeakKeyDictionary()


async def home_of(settings: Settings) -> Home:
    """The home of the running event loop for these settings; made when first asked for.

    Raises:
        ServerUnreachableError, ServerRefusedError, ServerStartError: there is no server to be at home at.
    """
    loop = asyncio.get_running_loop()
    homes = _homes.setdefault(loop, {})
    task = homes.get(settings)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = homes[settings] = loop.create_task(_open(settings))
    return await outcome_of(task)


async def close_homes() -> None:
    """Close what the running event loop has open. Without it that happens when the loop ends."""
    for task in list(_homes.pop(asyncio.get_running_loop(), {}).values()):
        if task.done() and not task.cancelled() and task.exception() is None:
            await task.result().close()


async def _open(settings: Settings) -> Home:
    url, revive = await asyncio.to_thread(resolve_url, settings)
    broker = await open_broker(settings, url, patience_s=None, revive=revive)
    home = Home(settings=settings, broker=broker, client=open_client(broker))
    keeper = asyncio.get_running_loop().create_task(_keep(home))
    _kept.add(keeper)
    keeper.add_done_callback(_kept.discard)
    return home


async def _keep(home: Home) -> None:
    """Live as long as the event loop; when it cancels its tasks at its end, close the home."""
    try:
        await asyncio.Event().wait()
    finally:
        if asyncio.get_running_loop() in _homes:
            _homes.pop(asyncio.get_running_loop(), None)
            await home.close()

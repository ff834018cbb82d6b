"""What a worker says of itself: that it is alive, and what it serves."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from broker_wf.broker.broker import PARTITIONS, Broker
from broker_wf.broker.packing import pack
from broker_wf.broker.roster import groups_of
from broker_wf.core.clock import Clock
from broker_wf.core.definition import facts_of
from broker_wf.core.ids import WorkerId
from broker_wf.errors import BrokerError
from broker_wf.settings import Settings
from broker_wf.worker.services import Served, Services

log = logging.getLogger("broker_wf.worker")

_HEALTH_EVERY_MS = 2_000


@dataclass(slots=True, kw_only=True)
class Pulse:
    """Registers, beats, and touches the health file.

    Attributes:
        counts: how many deliveries are under execution, and how many are done.
    """

    broker: Broker
    settings: Settings
    clock: Clock
    worker: WorkerId
    served: Services
    counts: Callable[[], tuple[int, int]]
    _server: int = 0

    async def register(self, served: Served) -> None:
        """Tell the server of a workflow.

        Raises:
            WorkflowConflictError: another class holds the workflow's name; nothing was changed.
        """
        spec, fresh_ms = served.program.spec, 3 * self.settings.heartbeat_ms
        if not served.private:
            await self.broker.roster.register(spec, pack(facts_of(spec)), served.lasting_groups, fresh_ms)

    async def beat_for_ever(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.clock.sleep_ms(self.settings.heartbeat_ms)
            await self._register_again()
            await self.beat()

    async def _register_again(self) -> None:
        """Another server may know nothing of what the one before was told."""
        if self._server == self.broker.admission.changes:
            return
        self._server = self.broker.admission.changes
        try:
            await self.broker.roster.check_protocol(PARTITIONS)
            for served in self.served.all():
                await self.register(served)
        except BrokerError as error:
            log.error("%s", error)

    async def beat(self, begun: Served | None = None) -> None:
        """Say that this worker is alive and what it serves; or only what it has just begun to serve."""
        life_ms = 3 * self.settings.heartbeat_ms
        served = self.served.all() if begun is None else [begun]
        lanes = [lane for one in served for lane in one.lanes]
        running, done = self.counts()
        facts: dict[str, object] = {
            "id": self.worker,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "workflows": ",".join(self.served.workflows()),
            "concurrency": self.settings.concurrency,
            "running": running,
            "done": done,
        }
        try:
            await self.broker.roster.heartbeat(self.worker, facts, life_ms, lanes)
            for one in served:
                for lane in one.lanes if one.private and one.lane in self.served else ():
                    await self.broker.roster.keep_lane(lane, self.settings.keep_ms, groups_of(one.program.spec, lane))
        except BrokerError as error:
            log.warning("%s", error)

    async def prove_health(self) -> None:
        """Touch the health file while the server answers this worker's event loop."""
        if self.settings.health_file is None:
            return
        path = Path(self.settings.health_file)
        while True:
            await self.broker.pipe.command("PING")
            await asyncio.to_thread(path.touch)
            await self.clock.sleep_ms(_HEALTH_EVERY_MS)

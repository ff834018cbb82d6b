"""A worker serves what its steps begin runs of, where no other does: otherwise such a step might wait for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from broker_wf.broker.roster import RosterStore
from broker_wf.core.clock import Clock
from broker_wf.core.ids import Lane
from broker_wf.engine.program import Program
from broker_wf.errors import BrokerError
from broker_wf.settings import Settings
from broker_wf.worker.services import Served, Services

log = logging.getLogger("broker_wf.worker")


@dataclass(slots=True, kw_only=True)
class Substitute:
    """Takes over the workflows of child runs that nobody serves, or nobody serves any more.

    Attributes:
        serve: begins to serve one here.
        is_idle: no step is under execution here, so none waits.
    """

    roster: RosterStore
    settings: Settings
    clock: Clock
    served: Services
    serve: Callable[[Served], Awaitable[None]]
    is_idle: Callable[[], bool]
    _elsewhere: dict[Lane, Program] = field(default_factory=dict[Lane, Program])
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def begun(self, program: Program) -> None:
        """A step here has begun a run of this workflow.

        Raises:
            WorkflowConflictError: another class holds the workflow's name.
        """
        lane = Lane(program.spec.name)
        async with self._turn:
            if lane in self.served:
                return
            if await self.roster.serving(lane, 3 * self.settings.heartbeat_ms) == 0:
                self._elsewhere.pop(lane, None)
                await self.serve(Served(program=program, lane=lane))
            else:
                self._elsewhere[lane] = program

    async def look_for_ever(self) -> None:
        """Whoever serves one of them may die while a step waits here; or be dead, and not be missed yet."""
        while True:
            await self.clock.sleep_ms(self.settings.heartbeat_ms)
            if self.is_idle():
                self._elsewhere.clear()
            for program in list(self._elsewhere.values()):
                try:
                    await self.begun(program)
                except BrokerError as error:
                    log.warning("%s", error)

"""Look for what is due, and hold indexes against the truth. Every worker does; twice is harmless."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from broker_wf.broker.broker import Broker
from broker_wf.broker.roster import Group
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.tasks import begin_apart
from broker_wf.errors import BrokerError
from broker_wf.settings import Settings

log = logging.getLogger("broker_wf.worker")

_SWEPT_AT_ONCE = 100
_AUDITED_AT_ONCE = 20
_SHARED_SWEEP_S = 0.005
_GONE_AFTER_MS = 600_000


@dataclass(slots=True, kw_only=True)
class Sweeper:
    """Sweeps and audits one namespace.

    Attributes:
        on_work: something went back into a stream.
        groups: the consumer groups that this worker reads.
    """

    broker: Broker
    settings: Settings
    on_work: Callable[[], None]
    groups: Callable[[], list[Group]]
    clock: Clock = field(default_factory=SystemClock)
    _looks: set[int] = field(default_factory=set[int])
    _closed: bool = False
    _sweeps: set[asyncio.Task[None]] = field(default_factory=set["asyncio.Task[None]"])

    async def sweep_for_ever(self) -> None:
        """Sweep every ``sweep_ms``, give or take a quarter."""
        while True:
            await self.clock.sleep_ms(round(self.settings.sweep_ms * random.uniform(0.75, 1.25)))
            await self._guarded(self.sweep)

    async def audit_for_ever(self) -> None:
        """Audit every ``audit_ms``, give or take half of it."""
        while True:
            await self.clock.sleep_ms(round(self.settings.audit_ms * random.uniform(0.5, 1.5)))
            await self._guarded(self.audit)
            await self._guarded(self.tidy)

    async def sweep(self) -> None:
        """Look at all that is due now."""
        outage_ms = 3 * max(self.settings.lease_ms, self.settings.sweep_ms)
        while True:
            swept = await self.broker.schedule.sweep(_SWEPT_AT_ONCE, outage_ms, self.settings.max_crashes)
            if swept.redispatched:
                log.info("put %d deliveries back into their streams", swept.redispatched)
                self.on_work()
            if not swept.more:
                return

    async def audit(self) -> None:
        """Look at every live run of the namespace, in parts."""
        for workflow in await self.broker.roster.workflows():
            offset = unserved = 0
            while True:
                audited = await self.broker.schedule.audit(
                    workflow,
                    offset,
                    _AUDITED_AT_ONCE,
                    fresh_ms=3 * self.settings.heartbeat_ms,
                    skew_ms=self.settings.skew_timeout_ms,
                )
                unserved += audited.unserved
                if audited.repairs or audited.stuck:
                    log.warning(
                        "audit of %s: %d repairs, %d runs failed that could never end",
                        workflow,
                        audited.repairs,
                        audited.stuck,
                    )
                if audited.runs < _AUDITED_AT_ONCE:
                    break
                offset += _AUDITED_AT_ONCE
            if unserved:
                log.warning("%d runs of %s are of a version that no live worker has", unserved, workflow)

    async def tidy(self) -> None:
        """Remove what killed workers left in the groups of this one."""
        removed = await self.broker.roster.tidy(_GONE_AFTER_MS, self.groups())
        if removed:
            log.info("removed %d consumers of workers that have gone", removed)

    async def close(self) -> None:
        """Look no more when timers are due; wait for the sweeps under way."""
        self._closed = True
        if self._sweeps:
            await asyncio.wait(list(self._sweeps), timeout=2.0)

    def look_in(self, delay_ms: int) -> None:
        """Sweep once when a timer that was just set is due. Timers due at nearly the same time share a sweep."""
        loop = asyncio.get_running_loop()
        due = round((loop.time() + delay_ms / 1000) / _SHARED_SWEEP_S) + 1
        if due not in self._looks:
            self._looks.add(due)
            loop.call_at(due * _SHARED_SWEEP_S, self._look, due)

    def _look(self, due: int) -> None:
        self._looks.discard(due)
        if self._closed:
            return
        task = begin_apart(self._guarded(self.sweep))
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)

    async def _guarded(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except BrokerError as error:
            log.warning("%s", error)

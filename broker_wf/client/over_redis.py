"""Straight to Redis: what workers have registered of a workflow stands for its code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from broker_wf.again import Again, rerun, retry_each
from broker_wf.broker.broker import open_broker
from broker_wf.broker.runs import Beginning, Submission
from broker_wf.client.given import encoded
from broker_wf.client.known import Known, known_workflow
from broker_wf.client.ports import Fields, Health, RunPage, Transport
from broker_wf.core.ids import DriverId, EventId, Lane, RunId, WorkflowName
from broker_wf.core.run_options import RunOptions
from broker_wf.driver.client import Client, open_client
from broker_wf.driver.watching import until_its_end
from broker_wf.errors import BrokerError
from broker_wf.events import Event
from broker_wf.home import resolve_url
from broker_wf.inspector import Inspector
from broker_wf.inspector.logs import read_logs
from broker_wf.inspector.searching import RunFilter, search
from broker_wf.inspector.views import (
    DeadLetterView,
    EventView,
    ExecutionView,
    LogView,
    RunView,
    WorkerView,
    WorkflowView,
)
from broker_wf.launching import start_hash
from broker_wf.settings import Settings

_PING_WITHIN_S = 2.0


async def over_redis(settings: Settings, patience_s: float) -> Transport:
    """Connect.

    Raises:
        ServerUnreachableError, ServerRefusedError, ServerStartError: the server cannot be used.
    """
    url, revive = await asyncio.to_thread(resolve_url, settings)
    driver = open_client(await open_broker(settings, url, patience_s=patience_s, revive=revive))
    return Transport(runs=RedisRuns(driver=driver, settings=settings), fleet=RedisFleet(driver))


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisRuns:
    """See ``Runs``."""

    driver: Client
    settings: Settings

    async def submit(self, workflow: str, values: Fields, run_id: str, options: RunOptions) -> None:
        """See ``Runs``."""
        known = await self._known(workflow)
        payload = encoded(self.settings, known.start, values, run_id)
        begin = Beginning(
            run_id=RunId(run_id),
            workflow=WorkflowName(workflow),
            lane=Lane(workflow),
            digest=known.digest,
            timeout_ms=known.number("timeout_ms"),
            start_name=known.start,
            start_hash=start_hash(payload),
            state={},
            inbox=DriverId(""),
            max_runs=known.number("max_runs") or None,
            options=options,
        )
        await self.driver.broker.runs.submit(Submission(begin=begin, route=known.start_route(), payload=payload))

    async def page(self, wanted: RunFilter, limit: int, cursor: str | None) -> RunPage:
        """See ``Runs``."""
        found = await search(self._inspector, wanted, limit, cursor)
        return RunPage(runs=found.runs, next=found.next)

    async def show(self, run_id: str) -> RunView:
        """See ``Runs``."""
        return await self._inspector.run(run_id)

    async def ended(self, run_id: str) -> None:
        """See ``Runs``."""
        end = await self.driver.attach(RunId(run_id))
        try:
            await asyncio.wait([end])
        finally:
            self.driver.follow.leave(RunId(run_id), end)

    async def steps(self, run_id: str) -> list[ExecutionView]:
        """See ``Runs``."""
        return await self._inspector.steps(run_id)

    async def events(self, run_id: str, after: int) -> AsyncGenerator[EventView, None]:
        """See ``Runs``."""
        found = await self._inspector.run_id(run_id)
        async for entry in until_its_end(self.driver, found, after):
            for view in await self._inspector.events_of(found, entry):
                yield view

    async def logs(self, run_id: str, limit: int) -> list[LogView]:
        """See ``Runs``."""
        found = await self._inspector.run_id(run_id)
        return (await read_logs(self.driver.broker, found, limit=limit))[0]

    async def send(self, run_id: str, name: str, values: Fields, step: str | None, event_id: str) -> None:
        """See ``Runs``."""
        state = await self.driver.broker.runs.attach(RunId(run_id), None)
        known = await self._known(state.workflow)
        route, event = known.route(name, step), Event.model_validate(dict(values))
        payload = encoded(self.settings, route.name, values, run_id)
        await self.driver.broker.runs.send(RunId(run_id), EventId(f"x{event_id}"), event, payload, route)

    async def cancel(self, run_id: str) -> str:
        """See ``Runs``."""
        return await self.driver.broker.runs.cancel(RunId(run_id))

    async def rerun(self, run_id: str, from_step: str | None, new_id: str) -> None:
        """See ``Runs``."""
        await rerun(self.driver.broker, run_id, from_step=from_step, new_id=new_id)

    async def _known(self, workflow: str) -> Known:
        return await known_workflow(self.driver.broker, workflow)

    @property
    def _inspector(self) -> Inspector:
        return Inspector(self.driver.broker)


@dataclass(frozen=True, slots=True)
class RedisFleet:
    """See ``Fleet``."""

    driver: Client

    async def workers(self) -> list[WorkerView]:
        """See ``Fleet``."""
        return await self._inspector.workers()

    async def workflows(self) -> list[WorkflowView]:
        """See ``Fleet``."""
        return list((await self._inspector.status()).workflows)

    async def dead_letters(self, limit: int) -> list[DeadLetterView]:
        """See ``Fleet``."""
        return await self._inspector.dead_letters(limit)

    async def retry(self, ids: Sequence[str]) -> list[Again]:
        """See ``Fleet``."""
        return await retry_each(self.driver.broker, ids)

    async def drop(self, ids: Sequence[str]) -> int:
        """See ``Fleet``."""
        return await self.driver.broker.letters.drop(list(ids)) if ids else 0

    async def health(self) -> Health:
        """See ``Fleet``."""
        try:
            await asyncio.wait_for(self.driver.broker.pipe.command("PING"), _PING_WITHIN_S)
        except (BrokerError, OSError, asyncio.TimeoutError) as error:
            return Health(ok=False, detail=str(error) or type(error).__name__)
        return Health(ok=True)

    async def close(self) -> None:
        """See ``Fleet``."""
        await self.driver.close()

    @property
    def _inspector(self) -> Inspector:
        return Inspector(self.driver.broker)

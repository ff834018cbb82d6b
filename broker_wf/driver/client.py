"""A driver's connection to a namespace, for one event loop: submit, follow, send, cancel."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from broker_wf.broker.broker import Broker
from broker_wf.broker.clients import end_tasks
from broker_wf.broker.feed import FeedEntry
from broker_wf.broker.runs import Beginning, RunState, Submission
from broker_wf.broker.snapshots import RunContent
from broker_wf.core.ids import DriverId, RunId
from broker_wf.driver.feeds import Feeds, without_gaps
from broker_wf.driver.follow import Follow
from broker_wf.errors import BrokerError

REPLACED = RunState(status="cancelled", workflow="", result=b"", error=b"", start_hash="")
"""How a run stands in whose place another one has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One driver in one event loop."""

    broker: Broker
    id: DriverId
    follow: Follow
    feeds: Feeds
    tasks: tuple[asyncio.Task[None], ...]

    def submit(self, submission: Submission) -> Coroutine[object, object, asyncio.Future[RunState]]:
        """Submit a run and follow it. Returns its end, to be awaited.

        Raises:
            RunConflictError, BackpressureError, ServerUnreachableError: the run was not accepted.
        """
        run_id = submission.begin.run_id
        if submission.begin.options.on_conflict == "restart":
            return self._begun_in_place(run_id, partial(self.broker.runs.submit, submission))
        return self._begun(run_id, partial(self.broker.runs.submit, submission))

    def restore(self, begin: Beginning, content: RunContent) -> Coroutine[object, object, asyncio.Future[RunState]]:
        """Submit a run that goes on where another one was, and follow it. Raises as :meth:`submit`."""
        return self._begun(begin.run_id, partial(self.broker.runs.restore, begin, content))

    async def _begun(self, run_id: RunId, begin: Callable[[], Awaitable[str]]) -> asyncio.Future[RunState]:
        end = self.follow.add(run_id, begin)
        try:
            status = await begin()
        except BrokerError:
            self.follow.leave(run_id, end)
            raise
        if status != "running":
            await self.follow.look(run_id)
        return end

    async def _begun_in_place(self, run_id: RunId, begin: Callable[[], Awaitable[str]]) -> asyncio.Future[RunState]:
        end, before = self.follow.add_in_place(run_id, begin)
        try:
            status = await begin()
        except BrokerError:
            self.follow.leave(run_id, end)
            self.follow.put_back(before)
            raise
        if before is not None and not before.end.done():
            before.end.set_result(REPLACED)
        if status != "running":
            await self.follow.look(run_id)
        return end

    async def attach(self, run_id: RunId) -> asyncio.Future[RunState]:
        """Follow a run that somebody has submitted. Returns its end, to be awaited.

        Raises:
            RunNotFoundError: no such run.
        """
        end = self.follow.add(run_id, None)
        try:
            await self.broker.runs.attach(run_id, self.id)
        except BrokerError:
            self.follow.leave(run_id, end)
            raise
        await self.follow.look(run_id)
        return end

    def events(self, run_id: RunId, after: int) -> AsyncIterator[FeedEntry]:
        """The run's events behind the cursor, without gaps; ends with the run."""
        return without_gaps(self.feeds.read(run_id, after), after)

    async def close(self) -> None:
        """Stop following. Runs go on."""
        await end_tasks(self.tasks)
        await self.follow.close()
        await self.feeds.close()
        await self.broker.pipe.close()


def open_client(broker: Broker) -> Client:
    """Begin to follow runs in the running event loop."""
    driver = DriverId(f"{socket.gethostname()[:16]}-{os.getpid()}-{secrets.token_hex(3)}")
    follow = Follow(broker=broker, driver=driver)
    feeds = Feeds(broker=broker, driver=driver, makes_again=follow.makes_again)
    follow.made_again = feeds.doubt
    loop = asyncio.get_running_loop()
    tasks = tuple(
        loop.create_task(one) for one in (follow.read_for_ever(), follow.look_for_ever(), feeds.read_for_ever())
    )
    return Client(broker=broker, id=driver, follow=follow, feeds=feeds, tasks=tasks)

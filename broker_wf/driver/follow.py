"""Hear of the ends of runs: one blocked read for all handlers of a process, and a look at the state now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from broker_wf.broker.broker import Broker, blocked_client
from broker_wf.broker.clients import RedisClient, drop_client
from broker_wf.broker.connection import FAILED
from broker_wf.broker.packing import message_of
from broker_wf.broker.runs import RunState
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.ids import DriverId, RunId
from broker_wf.errors import BrokerError, RunNotFoundError

log = logging.getLogger("broker_wf.driver")

_LOOKED_AT_ONCE = 200
_TURNS = 8
"""Of the event loop, from the end of one run to where what its handler's waiter submits next is sent."""

Resubmit = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Follower:
    """A run somebody here waits for.

    Attributes:
        resubmit: makes the run again, under its id, should the server have lost it; None for a run made elsewhere.
        users: how many handlers wait for it.
        in_place: it has taken the place of another run under its id; what is heard of an end may be of that one.
    """

    run_id: RunId
    end: asyncio.Future[RunState]
    resubmit: Resubmit | None
    users: int = 0
    in_place: bool = False


@dataclass(slots=True, kw_only=True)
class Follow:
    """The runs that are waited for in one event loop.

    Attributes:
        made_again: told of a run that the server had lost, once it is there again.
    """

    broker: Broker
    driver: DriverId
    clock: Clock = field(default_factory=SystemClock)
    made_again: Callable[[RunId], None] = lambda run_id: None
    _followers: dict[RunId, Follower] = field(default_factory=dict[RunId, Follower])
    _client: RedisClient | None = None

    def add(self, run_id: RunId, resubmit: Resubmit | None) -> asyncio.Future[RunState]:
        """The end of a run, once it comes. Adding it twice gives the same future."""
        found = self._followers.get(run_id)
        if found is None:
            future: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
            found = self._followers[run_id] = Follower(run_id, future, resubmit)
        found.users += 1
        return found.end

    def add_in_place(self, run_id: RunId, resubmit: Resubmit) -> tuple[asyncio.Future[RunState], Follower | None]:
        """The end of a run that takes the place of the one under its id; and who waits here for that one, if any."""
        before = self._followers.pop(run_id, None)
        end = self.add(run_id, resubmit)
        self._followers[run_id].in_place = True
        return end, before

    def put_back(self, before: Follower | None) -> None:
        """The run that was to take the place of the other one was not accepted."""
        if before is not None:
            self._followers[before.run_id] = before

    def leave(self, run_id: RunId, end: asyncio.Future[RunState]) -> None:
        """Take back one :meth:`add`, which gave this: whoever else follows the run goes on."""
        follower = self._followers.get(run_id)
        if follower is not None and follower.end is end:
            follower.users -= 1
            if follower.users == 0:
                del self._followers[run_id]

    def makes_again(self, run_id: RunId) -> bool:
        """Whether the run is made again here, should the server have lost it."""
        follower = self._followers.get(run_id)
        return follower is not None and follower.resubmit is not None

    def drop(self, run_id: RunId, error: BaseException) -> None:
        """Give up on a run that is not on the server."""
        follower = self._followers.pop(run_id, None)
        if follower is not None and not follower.end.done():
            follower.end.set_exception(error)
            follower.end.exception()

    async def look(self, run_id: RunId) -> None:
        """Ask how a run stands, and end its follower if it has ended."""
        follower = self._followers.get(run_id)
        if follower is None:
            return
        try:
            state = await self.broker.runs.attach(run_id, self.driver)
            if state.status != "running" and self._is_firm:
                # It is told only when it will not be taken back; if it is taken back meanwhile, the run goes on.
                state = await self.broker.runs.attach(run_id, self.driver, firmly=True)
        except RunNotFoundError as error:
            await self._lost(follower, error)
            return
        if state.status != "running":
            self._end(run_id, state)

    async def read_for_ever(self) -> None:
        """Read the inbox until cancelled."""
        wait_ms = 50
        while True:
            try:
                await self._read()
                wait_ms = 50
            except (*FAILED, BrokerError) as error:
                log.debug("the blocked read was lost: %s", error)
                await self.close()
                await self.clock.sleep_ms(round(wait_ms * random.uniform(0.5, 1.0)))
                wait_ms = min(wait_ms * 2, 2000)

    async def look_for_ever(self) -> None:
        """Look at every run now and then: a message may be lost, a run may be lost.

        Many at a time: one by one, ten thousand runs that simply go on would hold up whatever else is done here.
        """
        while True:
            await self.clock.sleep_ms(self.broker.timeouts.block_ms)
            waiting = list(self._followers)
            for start in range(0, len(waiting), _LOOKED_AT_ONCE):
                some = waiting[start : start + _LOOKED_AT_ONCE]
                try:
                    changed = await self.broker.runs.to_be_looked_at(some, self.driver)
                    await asyncio.gather(*(self.look(one) for one in changed))
                except BrokerError as error:
                    log.warning("%s", error)

    async def close(self) -> None:
        """Drop the connection; the next read makes a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            await drop_client(client)

    async def _read(self) -> None:
        if self._client is None:
            self._client = blocked_client(self.broker)
        inbox = self.broker.keys.of("inbox", self.driver)
        batch = self._client.pipeline(transaction=False)
        batch.execute_command("BLPOP", inbox, self.broker.timeouts.block_ms / 1000)
        # Sent along, and answered after it: what else has come by then.
        batch.execute_command("LPOP", inbox, 500)
        first, more = await batch.execute(raise_on_error=False)
        for reply in (first, more):
            if isinstance(reply, Exception):
                raise reply
        came = [*cast("list[bytes]", first or [])[1:], *cast("list[bytes]", more or [])]
        looked_for = [self._take(message) for message in came]
        doubted = [run_id for run_id in looked_for if run_id is not None]
        if doubted:
            await asyncio.gather(*(self.look(run_id) for run_id in doubted))
        elif came:
            # Who waits for these goes on before the next read; of few also what they submit goes out.
            for _ in range(max(1, _TURNS // len(came))):
                await self.clock.sleep_ms(0)

    @property
    def _is_firm(self) -> bool:
        return self.broker.pipe.sealing is not None

    def _take(self, raw: bytes) -> RunId | None:
        """End a run by a message; if that does not say enough, which run it is about."""
        message = message_of(raw)
        run_id = RunId(message.get("run", b"").decode("utf-8", "replace"))
        value = message.get("result", message.get("error"))
        follower = self._followers.get(run_id)
        is_certain = not self._is_firm and not (follower is not None and follower.in_place)
        if value is None or "status" not in message or not is_certain:
            return run_id
        state = RunState(
            status=message["status"].decode("utf-8", "replace"),
            workflow="",
            result=message.get("result", b""),
            error=message.get("error", b""),
            start_hash="",
        )
        self._end(run_id, state)
        return None

    def _end(self, run_id: RunId, state: RunState) -> None:
        follower = self._followers.pop(run_id, None)
        if follower is not None and not follower.end.done():
            follower.end.set_result(state)

    async def _lost(self, follower: Follower, error: RunNotFoundError) -> None:
        if follower.resubmit is None:
            self.drop(follower.run_id, error)
            return
        log.warning("run %s is not on the server any more; submitting it again", follower.run_id)
        await follower.resubmit()
        self.made_again(follower.run_id)

"""One blocked read for all feeds that somebody in this event loop streams."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from broker_wf.broker.broker import Broker, blocked_client
from broker_wf.broker.clients import RedisClient, drop_client
from broker_wf.broker.connection import FAILED
from broker_wf.broker.feed import FeedEntry, wait_for_feeds
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.ids import DriverId, RunId
from broker_wf.errors import BrokerError, EventsTrimmedError, RunNotFoundError

log = logging.getLogger("broker_wf.driver")

_MOST_UNREAD = 2_000
"""Entries that are kept here for a slow reader; beyond that nothing is read for it until it has taken half of them."""


_REMEMBERED = 2_000


def _print(entry: FeedEntry) -> int:
    """What tells an entry from another one that was given its number."""
    return hash((entry.name, entry.step, entry.payload))


@dataclass(slots=True, eq=False)
class _Reader:
    """Whoever streams a run.

    Attributes:
        cursor: the number of the last entry that has arrived.
        known: numbers and prints of the last ones.
        doubtful: the server may have lost some of them since.
    """

    run_id: RunId
    cursor: int
    arrived: asyncio.Queue[FeedEntry]
    full: bool = False
    doubtful: bool = False
    known: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def take(self, entries: Sequence[FeedEntry]) -> None:
        """What is behind the cursor arrives."""
        for entry in entries:
            if entry.seq > self.cursor:
                self.cursor = entry.seq
                self.known.append((entry.seq, _print(entry)))
                self.arrived.put_nowait(entry)

    def go_back(self, there: Sequence[FeedEntry], length: int) -> None:
        """Go back behind the last entry that is still as it was read, for a server that has lost its last seconds.

        Args:
            there: what the feed has from the first entry on that is known here.
            length: the number of the feed's last entry.
        """
        prints = {entry.seq: _print(entry) for entry in there}
        first_kept = min(prints, default=0)
        other = next((seq for seq, known in self.known if seq >= first_kept and prints.get(seq) != known), None)
        while other is not None and self.known and self.known[-1][0] >= other:
            self.known.pop()
        self.cursor = min(self.cursor if other is None else other - 1, length)


@dataclass(slots=True, kw_only=True)
class Feeds:
    """The feeds read in one event loop; each reader has a cursor of its own.

    Attributes:
        makes_again: whether a run that is not on the server is about to be there again.
    """

    broker: Broker
    driver: DriverId
    makes_again: Callable[[RunId], bool]
    clock: Clock = field(default_factory=SystemClock)
    _readers: list[_Reader] = field(default_factory=list[_Reader])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _client: RedisClient | None = None

    async def read(self, run_id: RunId, after: int) -> AsyncIterator[FeedEntry]:
        """Every entry behind the cursor, as it comes; ends when the run has ended and nothing is left.

        Raises:
            EventsTrimmedError: the feed no longer has what follows the cursor; names the first id missing.
            RunNotFoundError: no such run.
        """
        reader = _Reader(run_id, after, asyncio.Queue())
        self._readers.append(reader)
        self._changed.set()
        try:
            await asyncio.gather(self.broker.feed.wake(self.driver), self._follow_to_its_end(reader))
            while True:
                entry = await self._next(reader)
                if entry is None:
                    return
                yield entry
        finally:
            self._readers.remove(reader)

    def doubt(self, run_id: RunId) -> None:
        """The server has lost what this run had published, or some of it."""
        for reader in self._readers:
            reader.doubtful |= reader.run_id == run_id

    def _doubt_all(self) -> None:
        for reader in self._readers:
            reader.doubtful = True

    async def _next(self, reader: _Reader) -> FeedEntry | None:
        while True:
            seen = reader.cursor
            try:
                entry = await asyncio.wait_for(reader.arrived.get(), self.broker.timeouts.block_ms / 1000)
            except asyncio.TimeoutError:
                if await self._is_over(reader, seen) and reader.arrived.empty():
                    return None
                continue
            if reader.full and reader.arrived.qsize() <= _MOST_UNREAD // 2:
                reader.full = False
                self._changed.set()
                await self.broker.feed.wake(self.driver)
            return entry

    async def _is_over(self, reader: _Reader, cursor: int) -> bool:
        try:
            state = await self.broker.runs.attach(reader.run_id, None)
        except RunNotFoundError:
            if not self.makes_again(reader.run_id):
                raise
            return False
        if state.status == "running":
            return False
        length = await self._length(reader.run_id)
        if length < cursor and reader.known:
            reader.doubtful = True
            await self.broker.feed.wake(self.driver)
            return False
        if length > cursor:
            reader.take(await self.broker.feed.only(reader.run_id))
        return length <= cursor

    async def _length(self, run_id: RunId) -> int:
        last = await self.broker.feed.last(run_id, 1)
        return last[0].seq if last else 0

    async def _follow_to_its_end(self, reader: _Reader) -> None:
        """Have the end of the run told where the blocked read hears of it; take it, if it has ended without."""
        if not await self.broker.feed.stream(reader.run_id):
            reader.take(await self.broker.feed.only(reader.run_id))

    async def _go_back(self, reader: _Reader) -> None:
        """Where the feed is not what was read of it, read on from there; and what was asked for may be lost too."""
        reader.doubtful = False
        if reader.known:
            there = await self.broker.feed.read(reader.run_id, reader.known[0][0] - 1, len(reader.known))
            reader.go_back(there, await self._length(reader.run_id))
        await self._follow_to_its_end(reader)

    async def read_for_ever(self) -> None:
        """Serve the readers until cancelled."""
        wake_from = "0-0"
        while True:
            if all(reader.full for reader in self._readers):
                self._changed.clear()
                await self._changed.wait()
            try:
                wake_from = await self._read(wake_from)
            except (*FAILED, BrokerError) as error:
                log.debug("the blocked read was lost: %s", error)
                await self.close()
                await self.clock.sleep_ms(100)

    async def close(self) -> None:
        """Drop the connection; the next read makes a new one."""
        if self._client is not None:
            client, self._client = self._client, None
            await drop_client(client)

    async def _read(self, wake_from: str) -> str:
        if self._client is None:
            self._client = blocked_client(self.broker)
            self._doubt_all()
        await asyncio.gather(*(self._go_back(one) for one in self._readers if one.doubtful))
        connections = self.broker.admission.connections
        # Who comes while this read is under way begins elsewhere, and is served by the next one.
        readers, cursors = [one for one in self._readers if not one.full], dict[RunId, int]()
        for reader in readers:
            cursors[reader.run_id] = min(reader.cursor, cursors.get(reader.run_id, reader.cursor))
        found, wake_from = await wait_for_feeds(
            self._client, self.broker.keys, self.driver, cursors, wake_from, self.broker.timeouts.block_ms
        )
        # One that was lost between two reads is made anew without a word: nothing of it is taken before a look back.
        if connections != self.broker.admission.connections:
            self._doubt_all()
        for reader in readers:
            if not reader.doubtful:
                reader.take(found.get(reader.run_id, ()))
            reader.full = reader.arrived.qsize() >= _MOST_UNREAD
        return wake_from


async def without_gaps(entries: AsyncIterator[FeedEntry], after: int) -> AsyncIterator[FeedEntry]:
    """Entries as they come; a gap is an error and never silent.

    Numbers that come again are those of a server that has lost its last seconds, and has published others since.

    Raises:
        EventsTrimmedError: names the first id missing.
    """
    async for entry in entries:
        if entry.seq > after + 1:
            raise EventsTrimmedError(after + 1)
        after = entry.seq
        yield entry

"""Readers of the events of an experiment's runs, and what must hold of what they were told (I7)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, cast

from broker_wf.broker.feed import FeedEntry
from broker_wf.driver.endings import events_of
from broker_wf.events import Event, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.wire.blobs import NOTHING_FETCHED
from tests.apps.loads import Worked
from tests.faults.cluster import Cluster
from tests.feed_entries import feed_entries

END_WITHIN_MS = 3_000
LATE_S = 30.0


def now_ms() -> int:
    """By the clock of the machine, which is that of its servers."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Reader:
    """One run, streamed from its beginning.

    Attributes:
        worked: the numbers it publishes, by the model.
    """

    handler: WorkflowHandler[Any]
    worked: set[int]
    told: list[Event] = field(default_factory=list[Event])
    ended_ms: int = 0

    async def read(self) -> None:
        async for event in self.handler.stream_events():
            self.told.append(event)
        self.ended_ms = now_ms()


class Readers:
    """The readers of an experiment.

    Attributes:
        lag_ms: the longest time by which this process was held up; its readers are late by that without being at fault.
    """

    def __init__(self) -> None:
        self.lag_ms = 0
        self._tasks: dict[str, tuple[Reader, asyncio.Task[None]]] = {}
        self._watch: asyncio.Task[None] | None = None

    def read(self, run: str, handler: WorkflowHandler[Any], worked: set[int]) -> None:
        """Stream one more run."""
        reader = Reader(handler, worked)
        self._tasks[run] = reader, asyncio.ensure_future(reader.read())
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._notice_lag())

    async def _notice_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            self.lag_ms = max(self.lag_ms, round(1000 * (time.monotonic() - before - 0.05)))

    async def violations(self, cluster: Cluster, last_fault_ms: int | None) -> list[str]:
        """What does not hold, once all runs have ended.

        Args:
            last_fault_ms: when something was last done to the system; nobody is late before that is over. None: the
                server's clock is not that of the machine, so it cannot be told who is late.
        """
        if self._tasks:
            await asyncio.wait([task for _, task in self._tasks.values()], timeout=LATE_S)
        if self._watch is not None:
            self._watch.cancel()
        found: list[str] = []
        for run, (reader, task) in self._tasks.items():
            if not task.done():
                task.cancel()
                found.append(f"{run}: I7: its reader waits for more than {[type(one).__name__ for one in reader.told]}")
            elif task.exception() is not None:
                found.append(f"{run}: I7: its reader was told {task.exception()!r}")
            else:
                found += [f"{run}: I7: {one}" for one in self._of(run, reader, cluster, last_fault_ms)]
        return found

    def _of(self, run: str, reader: Reader, cluster: Cluster, last_fault_ms: int | None) -> list[str]:
        found, ends = list[str](), [n for n, one in enumerate(reader.told) if isinstance(one, StopEvent)]
        if ends != [len(reader.told) - 1]:
            found.append(f"of {len(reader.told)} events {ends} end it")
        missing = [one for one in published(cluster, run, reader.handler) if one not in reader.told]
        if missing:
            found.append(f"its reader was not told of {missing}")
        numbers = {one.number for one in reader.told if isinstance(one, Worked)}
        if reader.worked - numbers:
            found.append(f"its reader was not told of the work on {sorted(reader.worked - numbers)}")
        if last_fault_ms is None:
            return found
        ended = cast(Any, cluster.client).hget(cluster.keys.of("run", run), "ended_ms")
        late_ms = reader.ended_ms - max(int(ended or 0), last_fault_ms)
        if late_ms > END_WITHIN_MS + self.lag_ms:
            found.append(
                f"its reader's end came {late_ms} ms after the run's, in a process held up for {self.lag_ms} ms"
            )
        return found


def published(cluster: Cluster, run: str, handler: WorkflowHandler[Any]) -> list[Event]:
    """The events of a run's feed as it is at last: those of the attempts that were committed."""
    found: list[Event] = []
    for number, entry in feed_entries(cluster.client, cluster.keys, run):
        read = FeedEntry(
            seq=int(number.split(b"-")[0]),
            name=entry[b"t"].decode(),
            payload=entry[b"p"],
            step=entry[b"s"].decode(),
            at_ms=int(entry[b"at"]),
        )
        found += events_of(read, handler.followed.codec, NOTHING_FETCHED)
    return found

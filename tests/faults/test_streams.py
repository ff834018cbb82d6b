"""What streams a run when the server loses its last second goes back with it, and on to the end (I7)."""

from __future__ import annotations

import asyncio
import shutil

from broker_wf.core.clock import SystemClock
from broker_wf.core.ids import RunId
from broker_wf.events import StopEvent, WorkflowCancelledEvent
from broker_wf.home import home_of
from tests.apps.loads import Sums, Worked
from tests.faults.experiment import meanwhile
from tests.faults.records import Records
from tests.servers import start_server


async def test_a_reader_goes_back_with_the_server_and_is_told_the_end(records: Records) -> None:
    cluster = records.cluster
    log, kept = cluster.directory / "appendonlydir", cluster.directory / "kept"
    worker = await asyncio.to_thread(records.fork, concurrency=1)
    run = Sums(timeout=120, broker=cluster.settings).run(count=8, pause_s=0.3, tells=True)
    told: list[object] = []

    async def read() -> None:
        async for event in run.stream_events():
            told.append(event)

    reading = asyncio.ensure_future(read())
    await meanwhile(lambda: len(told) >= 2, "some work")
    shutil.copytree(log, kept)
    before = len(told)
    await meanwhile(lambda: len(told) >= before + 2, "more work, of which the server will know nothing")
    worker.kill()
    await asyncio.to_thread(worker.wait)
    cluster.server.kill()
    cluster.server.wait()
    shutil.rmtree(log)
    kept.rename(log)
    cluster.server = await asyncio.to_thread(start_server, cluster.binary, cluster.directory)
    assert cluster.client.xlen(cluster.keys.of("feed", run.run_id)) < len(told)
    await run.cancel_run()
    await asyncio.wait_for(reading, 30)
    assert isinstance(told[-1], WorkflowCancelledEvent)
    numbers = [one.number for one in told[:-1] if isinstance(one, Worked)]
    assert sorted(set(numbers)) == sorted(numbers), "nobody is told again what is still there"


class HeldClock(SystemClock):
    """A clock by which nobody who waits goes on before he is let.

    Attributes:
        asked: somebody waits.
        goes: he may go on.
    """

    def __init__(self) -> None:
        self.asked, self.goes = asyncio.Event(), asyncio.Event()

    async def sleep_ms(self, duration_ms: int) -> None:
        self.asked.set()
        await self.goes.wait()
        await super().sleep_ms(duration_ms)


async def test_a_reader_that_is_the_first_to_miss_a_run_waits_for_it_to_be_made_again(records: Records) -> None:
    cluster, clock = records.cluster, HeldClock()
    client = (await home_of(cluster.settings)).client
    asked, makes_again = asyncio.Event(), client.feeds.makes_again
    client.follow.clock = clock

    def noticed(run_id: RunId) -> bool:
        asked.set()
        return makes_again(run_id)

    client.feeds.makes_again = noticed
    await asyncio.wait_for(clock.asked.wait(), 30)
    await asyncio.to_thread(records.fork, concurrency=1)
    run = Sums(timeout=120, broker=cluster.settings).run(count=8, pause_s=0.1, tells=True)
    told: list[object] = []

    async def read() -> None:
        async for event in run.stream_events():
            told.append(event)

    reading = asyncio.ensure_future(read())
    await meanwhile(lambda: len(told) >= 3, "some work")
    await asyncio.to_thread(cluster.client.flushall)
    await asyncio.wait_for(asked.wait(), 30)
    assert not reading.done()
    clock.goes.set()
    await asyncio.wait_for(reading, 60)
    assert isinstance(told[-1], StopEvent)
    assert {one.number for one in told if isinstance(one, Worked)} == set(range(8))
    assert await asyncio.wait_for(run, 30) == [8, sum(range(8))]

"""What streams a run when the server loses its last second goes back with it, and on to the end (I7)."""

from __future__ import annotations

import asyncio
import shutil

from broker_wf.events import WorkflowCancelledEvent
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

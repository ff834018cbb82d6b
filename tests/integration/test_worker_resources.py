"""``Resource(scope="worker")``: made once per worker process, closed when it drains."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.apps.pooled import Reads, Writes
from tests.integration.console import Console, lines
from tests.integration.stage import within


async def test_a_workers_resource_is_made_once_for_all_its_workflows_and_closed_at_drain(
    console: Console, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    begin = ("tests.apps.pooled:pooled",)
    workers = [await asyncio.to_thread(console.worker, *begin, POOLED_NOTES=str(notes)) for _ in range(2)]
    settings = Settings.load(url=console.url, namespace=console.namespace)
    runs = [cls(broker=settings).run() for _ in range(20) for cls in (Reads, Writes)]
    used = set(await within(asyncio.gather(*runs)))
    assert len(used) == len({pid for pid, _ in used}), "one object in each process"
    assert Counter(line.split()[0] for line in lines(notes)) == {"made": len(used)}
    await close_homes()
    for worker in workers:
        assert (await asyncio.to_thread(console.end, worker, signal.SIGTERM)).code == 0
    written = lines(notes)
    assert sorted(written) == sorted(f"{what} {pid}" for pid, _ in used for what in ("made", "closed"))

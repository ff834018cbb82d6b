from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.apps.scenes import Batches, Spread
from tests.integration.console import Console
from tests.integration.key_audit import problems
from tests.integration.stage import within

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = """
import asyncio

from broker_wf import Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent

class ProcessEvent(Event):
    data: str

class MyWorkflow(Workflow):
    @step
    async def start(self, ev: StartEvent) -> ProcessEvent:
        return ProcessEvent(data=ev.query)

    @step
    async def process(self, ev: ProcessEvent) -> StopEvent:
        return StopEvent(result=ev.data.upper())

async def main():
    workflow = MyWorkflow(timeout=60, verbose=True)
    print(await workflow.run(query="Explain AI agents"))
"""
ONCE = "asyncio.run(main())\n"
LOSES_INTEREST = """
async def begin():
    MyWorkflow().run(query="nobody waits for this")

asyncio.run(begin())
asyncio.run(main())
"""
FAILS = """
async def fail():
    await MyWorkflow().run(nothing="asked")

asyncio.run(fail())
"""


@pytest.fixture
def console(server_url: str, namespace: str, tmp_path: Path) -> Iterator[Console]:
    """Two worker processes that serve the scenes; the namespace is audited when they have left."""
    made = Console(server_url, namespace, tmp_path / "data")
    try:
        yield made
    finally:
        made.close()
    with redis.Redis.from_url(server_url) as client:
        assert problems(client, namespace) == []


async def test_one_run_is_spread_over_worker_processes_and_counted_right(console: Console) -> None:
    # With less room than there are parts, none can take all before another has heard of them.
    few = ("tests.apps.scenes:scenes", "--concurrency", "20")
    workers = [await asyncio.to_thread(console.worker, *few) for _ in range(2)]
    settings = Settings.load(url=console.url, namespace=console.namespace)
    parts, seen, pids = await within(Spread(broker=settings).run(count=60, processes=2))
    assert (parts, seen) == (list(range(60)), 60)
    assert pids == sorted(worker.pid for worker in workers)
    results = await within(asyncio.gather(*(Batches(broker=settings).run() for _ in range(10))))
    assert results == [sum(range(60))] * 10
    await close_homes()
    for worker in workers:
        ended = await asyncio.to_thread(console.end, worker, signal.SIGTERM)
        assert (ended.code, "Traceback" in ended.err) == (0, False)


def script(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would, on a bundled server of its own."""
    file = directory / "script.py"
    file.write_text(text)
    environment = Console("", "", directory / "data").environment(PYTHONPATH=str(ROOT))
    return subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def printed(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What the script itself has printed, without what ``verbose=True`` tells of its steps."""
    return [line for line in ended.stdout.splitlines() if not line.startswith("[")]


def test_the_script_of_every_tutorial_runs_as_it_is(tmp_path: Path) -> None:
    ended = script(tmp_path, TUTORIAL + ONCE)
    assert (ended.returncode, printed(ended), ended.stderr) == (0, ["EXPLAIN AI AGENTS"], "")


def test_a_script_may_run_one_event_loop_after_another(tmp_path: Path) -> None:
    ended = script(tmp_path, TUTORIAL + 3 * ONCE)
    assert (ended.returncode, printed(ended), ended.stderr) == (0, ["EXPLAIN AI AGENTS"] * 3, "")


def test_a_script_that_does_not_wait_for_its_run_ends(tmp_path: Path) -> None:
    ended = script(tmp_path, TUTORIAL + LOSES_INTEREST)
    assert (ended.returncode, printed(ended), ended.stderr) == (0, ["EXPLAIN AI AGENTS"], "")


def test_a_script_whose_run_fails_shows_the_steps_own_traceback(tmp_path: Path) -> None:
    ended = script(tmp_path, TUTORIAL + FAILS)
    assert ended.returncode == 1
    assert "return ProcessEvent(data=ev.query)" in ended.stderr
    assert "AttributeError: 'StartEvent' object has no attribute 'query'" in ended.stderr
    assert "was destroyed" not in ended.stderr
    assert "never retrieved" not in ended.stderr

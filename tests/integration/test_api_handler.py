"""Sentences of the public contract about handlers, where more than one process is needed to see them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis

from broker_wf.home import close_homes
from broker_wf.settings import Settings
from tests.apps.scenes import Answered, Spread
from tests.integration.console import ROOT, Console
from tests.integration.key_audit import problems
from tests.integration.stage import within

READER = """
import asyncio, json, sys
from tests.apps.scenes import Answered, Spread

async def main():
    handler = {"Spread": Spread, "Answered": Answered}[sys.argv[1]]().attach(sys.argv[2])
    print(json.dumps([type(event).__name__ async for event in handler.stream_events()]))
    print(json.dumps([await handler, await handler, handler.is_done(), str(handler)]))

asyncio.run(main())
"""
SENDER = """
import asyncio, sys
from tests.apps.scenes import Answered, Reply

async def main():
    await Answered().attach(sys.argv[1]).send_event(Reply(text=sys.argv[2]))

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def nothing_left(console: Console, server_url: str, namespace: str) -> Iterator[None]:
    """Once the processes of the console have gone, so have their keys."""
    yield
    console.close()
    with redis.Redis.from_url(server_url) as client:
        assert problems(client, namespace) == []


def script(console: Console, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a driver in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        env=console.environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    console.processes.append(process)
    return process


async def test_handlers_in_other_processes_each_get_the_whole_stream_and_the_result(console: Console) -> None:
    await asyncio.to_thread(console.worker, "tests.apps.scenes:scenes")
    settings = Settings.load(url=console.url, namespace=console.namespace)
    handler = Answered(broker=settings).run(count=3)
    readers = [script(console, READER, "Answered", handler.run_id) for _ in range(2)]
    async for event in handler.stream_events():
        if type(event).__name__ == "Asked":
            break
    sender = script(console, SENDER, handler.run_id, "yes")
    own = ["Noted", "Noted", "Noted", "Asked", *[type(event).__name__ async for event in handler.stream_events()]]
    for reader in readers:
        ended = await asyncio.to_thread(console.end, reader)
        streamed, told = map(json.loads, ended.out.splitlines())
        assert streamed == own == ["Noted", "Noted", "Noted", "Asked", "StopEvent"], ended.err
        assert told[:3] == ["yes", "yes", True]
        assert handler.run_id in told[3]
        assert told[3].endswith("result=yes)")
    assert (await asyncio.to_thread(console.end, sender)).code == 0
    assert await within(handler) == "yes"
    late = await asyncio.to_thread(console.end, script(console, READER, "Answered", handler.run_id))
    assert json.loads(late.out.splitlines()[0]) == own, "who comes after the end gets everything too"
    await close_homes()


async def test_a_driver_that_dies_takes_nothing_with_it(console: Console) -> None:
    settings = Settings.load(url=console.url, namespace=console.namespace)
    submit = (
        "import asyncio, os\nfrom tests.apps.scenes import Spread\n"
        "async def main():\n"
        "    handler = Spread().run(count=5, run_id='left-alone')\n"
        "    await handler.ctx.running_steps()\n"
        "    os._exit(3)\n"
        "asyncio.run(main())\n"
    )
    assert (await asyncio.to_thread(console.end, script(console, submit))).code == 3
    await asyncio.to_thread(console.worker, "tests.apps.scenes:scenes")
    parts, seen, _ = await within(Spread(broker=settings).attach("left-alone"))
    assert (parts, seen) == ([0, 1, 2, 3, 4], 5)
    await close_homes()

"""A server of workflows that is killed and comes back: no event lost or doubled, no run started twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import httpx
import pytest

from broker_wf.client import AsyncClient
from broker_wf.errors import RunEndedError
from tests.integration.console import Console, until
from tests.integration.stage import within
from tests.servers import free_port

FLOWS = "tests.apps.answering:flows"


def serve(console: Console, port: int) -> subprocess.Popen[str]:
    process = console.start("serve", FLOWS, "--port", str(port))

    def answers() -> bool:
        assert process.poll() is None, process.communicate()
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        return False

    until(answers)
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_stream_goes_on_where_it_was_when_the_server_is_back(console: Console, number: signal.Signals) -> None:
    console.worker(FLOWS)
    port = free_port()
    process = serve(console, port)
    async with AsyncClient(f"http://127.0.0.1:{port}") as client:
        run = await client.submit("telling", {"count": 60, "pause_s": 0.02})
        seen: list[int] = []
        coming_back: asyncio.Task[object] | None = None
        async for event in run.events():
            seen.append(event.seq)
            if len(seen) == 10:
                process.send_signal(number)
                await asyncio.to_thread(process.wait, 20)
                coming_back = asyncio.create_task(asyncio.to_thread(serve, console, port))
        assert seen == [*range(1, 62)]
        assert coming_back is not None
        await coming_back
        assert await within(run.result()) == 60


@asynccontextmanager
async def closed(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a connection whatever becomes of it."""
    try:
        yield
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_run_that_is_asked_for_while_nobody_answers_starts_once(console: Console) -> None:
    console.worker(FLOWS)
    port = free_port()
    async with AsyncClient(f"http://127.0.0.1:{port}") as client:
        asking = asyncio.create_task(client.submit("greeting", {"name": "you"}, run_id="only"))
        await asyncio.to_thread(serve, console, port)
        run = await within(asking)
        assert await within(run.result()) == {"greeting": "hello you"}
        assert [one.run_id for one in (await client.runs()).runs] == ["only"]


async def test_what_came_although_the_answer_was_lost_does_not_happen_again(console: Console) -> None:
    """A proxy that passes each first request on and cuts the connection instead of answering."""
    console.worker(FLOWS)
    port = free_port()
    serve(console, port)
    cut: set[bytes] = set()
    passing: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.add(asyncio.create_task(pass_on(reader, writer)))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closed(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            names = head.lower().split(b"\r\n")
            length = next((int(one[15:]) for one in names if one.startswith(b"content-length:")), 0)
            body = await reader.readexactly(length)
            line, is_cut = head.partition(b"\r\n")[0], False
            if line.startswith(b"POST"):
                is_cut = line not in cut
                cut.add(line)
            there, back = await asyncio.open_connection("127.0.0.1", port)
            async with closed(back):
                back.write(head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + body)
                while part := await there.read(65536):
                    if not is_cut:
                        writer.write(part)
                        await writer.drain()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as proxy:
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with AsyncClient(url) as client:
            run = await within(client.submit("telling", {"count": 1}))
            assert await within(run.result()) == 1
            again = await within(run.rerun())
            await within(again.result())
            asking = await within(client.submit("asking", run_id="asks"))
            async with aclosing(asking.events()) as events:
                async for event in events:
                    if event.type == "Ask":
                        break
            with suppress(RunEndedError):  # the first one may have ended the run before the second came
                await within(asking.send("Reply", {"text": "fine"}))
            assert await within(asking.result()) == "fine"
            assert {one.run_id for one in (await client.runs()).runs} == {run.id, again.id, "asks"}
    for one in passing:
        one.cancel()  # a stream whose client has gone is passed on to the end else
    await asyncio.gather(*passing, return_exceptions=True)
    assert len(cut) == 3

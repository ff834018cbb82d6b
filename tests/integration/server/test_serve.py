"""``broker-wf serve`` as a person uses it, and two of them behind a proxy."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import httpx
from llama_agents.client import WorkflowClient

from broker_wf.home import close_homes
from broker_wf.server import create_app
from broker_wf.server.llama_index.running import PATIENCE_S
from broker_wf.settings import Settings
from tests.integration.console import Console, until
from tests.servers import free_port

FLOWS = "tests.apps.answering:flows"
CLIENTS_IDLE_S = 5.5
"""A little more than httpx and uvicorn keep an idle connection for if nobody says otherwise."""


def serve(console: Console, *arguments: str, **variables: str) -> tuple[subprocess.Popen[str], str]:
    port = free_port()
    process = console.start("serve", FLOWS, "--port", str(port), *arguments, **variables)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, process.communicate()
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/health").status_code == 200
        return False

    until(answers)
    return process, url


async def test_a_single_box_serves_and_executes_and_leaves_nothing_behind(console: Console) -> None:
    process, url = serve(console, "--workers", "1", BROKER_WF_TOKEN="secret")
    assert httpx.get(f"{url}/handlers").status_code == 401
    async with httpx.AsyncClient(base_url=url, timeout=30, headers={"authorization": "Bearer secret"}) as http:
        data = await WorkflowClient(httpx_client=http).run_workflow("greeting", start_event={"name": "you"})
        assert data.result is not None
        assert data.result.value == {"greeting": "hello you"}
    assert console.end(process, signal.SIGTERM).code == 0
    until(lambda: console.workers() == [])


async def test_without_keepalive_a_run_is_answered_at_its_end_and_by_its_status(console: Console) -> None:
    process, url = serve(console, "--workers", "1", "--no-run-keepalive")
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        running = asyncio.create_task(http.post("/workflows/asking/run", json={"handler_id": "asks"}))
        # So long that with keepalive the answer would have begun, with status 200 and spaces.
        await asyncio.sleep(PATIENCE_S + 0.5)
        assert not running.done()
        assert (await http.post("/handlers/asks/cancel")).status_code == 200
        answer = await running
    assert (answer.status_code, answer.json()["status"]) == (500, "cancelled")
    assert answer.content.startswith(b"{")
    assert console.end(process, signal.SIGTERM).code == 0


async def test_a_connection_may_be_idle_for_longer_than_clients_leave_theirs(console: Console) -> None:
    process, url = serve(console)
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=30)) as ask:
        for idle_s in (CLIENTS_IDLE_S, 0):
            ask.request("GET", "/livez")
            answer = ask.getresponse()
            assert (answer.status, answer.read() != b"") == (200, True)
            assert ask.sock is not None, "it hangs up after each answer"
            await asyncio.sleep(idle_s)
    assert console.end(process, signal.SIGTERM).code == 0


async def test_a_server_that_cannot_reach_its_namespace_says_that_it_is_not_healthy(namespace: str) -> None:
    settings = Settings.load(url="redis://127.0.0.1:1/0", namespace=namespace)
    transport = httpx.ASGITransport(create_app([], broker=settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "unhealthy"})
    await close_homes()


def test_the_files_of_a_debugger_are_served_or_said_to_be_missing(console: Console, tmp_path: Path) -> None:
    refused = console.run("serve", FLOWS, "--debugger-assets", str(tmp_path))
    assert refused.code == 2
    assert "has no app.js and app.css" in refused.err
    assert "npm pack @llamaindex/workflow-debugger" in refused.err
    for name in ("app.js", "app.css"):
        (tmp_path / name).write_text(name)
    process, url = serve(console, "--debugger-assets", str(tmp_path))
    assert "app.js" in httpx.get(f"{url}/debugger/").text
    assert httpx.get(f"{url}/debugger/app.css").text == "app.css"
    assert console.end(process, signal.SIGTERM).code == 0


def test_a_worker_beside_a_server_that_dies_is_replaced(console: Console) -> None:
    process, _ = serve(console, "--workers", "1")
    until(lambda: len(console.workers()) == 1)
    (first,) = console.workers()
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: any(one["id"] != first["id"] for one in console.workers()))
    assert console.end(process, signal.SIGTERM).code == 0
    until(lambda: [one for one in console.workers() if one["id"] != first["id"]] == [])


def test_workers_beside_a_server_end_with_it_however_it_ends(console: Console) -> None:
    process, _ = serve(console, "--workers", "2")
    until(lambda: len(console.workers()) == 2)
    process.kill()
    until(lambda: console.workers() == [])


@asynccontextmanager
async def proxy(urls: list[str]) -> AsyncIterator[str]:
    """What stands before servers: the first one that takes a connection gets it, for as long as it lives."""
    ports = [int(url.rpartition(":")[2]) for url in urls]

    open_ones: set[asyncio.StreamWriter] = set()
    tasks: set[asyncio.Task[None] | None] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        open_ones.add(writer)
        for port in ports:
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                open_ones.add(back)
                ways = [asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
                back.close()
                break
        writer.close()

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for one in open_ones:
            one.close()
        await asyncio.wait([task for task in tasks if task is not None])
        for one in open_ones:
            with suppress(OSError):
                await one.wait_closed()


async def test_a_client_loses_and_doubles_no_event_when_one_of_two_servers_is_killed(console: Console) -> None:
    console.worker(FLOWS)
    (first, one), (_, two) = serve(console), serve(console)
    async with proxy([one, two]) as url:
        client = WorkflowClient(base_url=url)
        data = await client.run_workflow_nowait("telling", start_event={"count": 80, "pause_s": 0.02})
        found: list[int] = []
        async for event in client.get_workflow_events(data.handler_id):
            found.append(event.value.get("number", -1))
            if len(found) == 10:
                first.kill()
        assert found == [*range(80), -1]
    assert first.wait(5) == -signal.SIGKILL

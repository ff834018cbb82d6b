"""`python -m benchmarks.server [STREAMS]`: what a request costs a server of workflows, and what streams cost it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from benchmarks.rig import HERE, commit, free_port, server, wait_until
from broker_wf import Context, Workflow, step
from broker_wf.client import AsyncClient
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent

REQUESTS, WARM = 500, 50
STREAMS = 1_000
GOALS = {"p50_ms": 5.0, "peak_mib": 300.0}


class Note(Event):
    number: int


class Go(HumanResponseEvent):
    pass


class Short(Workflow):
    @step
    async def end(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


class Told(Workflow):
    """Waits until all listen, then tells ten things."""

    @step
    async def tell(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await ctx.wait_for_event(Go, timeout=None)
        for number in range(10):
            ctx.write_event_to_stream(Note(number=number))
        return StopEvent()


flows = [Short(workflow_name="short"), Told(workflow_name="told", timeout=None)]


@contextmanager
def process(url: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours beside a Redis server."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "BROKER_WF_URL": url}
    command = [sys.executable, "-m", "broker_wf", *arguments]
    one = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield one
    finally:
        one.terminate()
        one.wait(60)


def answers(port: int) -> bool:
    """Whether the server is there."""
    try:
        return ask(HTTPConnection("127.0.0.1", port, timeout=5), "GET", "/health", "")[0] == 200
    except OSError:
        return False


def ask(connection: HTTPConnection, method: str, path: str, body: str) -> tuple[int, bytes]:
    connection.request(method, path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def requests(port: int, path: str, body: str) -> dict[str, float]:
    """One client, one connection, one request after another."""
    connection, took = HTTPConnection("127.0.0.1", port, timeout=30), list[float]()
    for _ in range(WARM + REQUESTS):
        began = time.perf_counter()
        status, answer = ask(connection, "POST", path, body)
        took.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise SystemExit(f"{path} answered {status}: {answer.decode()}")
    measured = sorted(took[WARM:])
    return {"p50_ms": median(measured), "p95_ms": measured[int(0.95 * len(measured))]}


async def listen(port: int, run_id: str, begun: asyncio.Queue[None]) -> int:
    """One stream on a socket of its own; how many events it has had."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /events/{run_id}?after_sequence=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    begun.put_nowait(None)
    found = 0
    while True:
        line = await reader.readline()
        if line.startswith(b"data: "):
            found += 1
        if line in (b"0\r\n", b""):
            writer.close()
            return found


async def streams(port: int, pid: int, count: int) -> dict[str, float]:
    """So many streams of as many runs at one time, then ten events and the end on each of them."""
    before = memory_mib(pid, "VmRSS")
    async with AsyncClient(f"http://127.0.0.1:{port}", patience_s=120) as client:
        runs = [await client.submit("told") for _ in range(count)]
        begun, began = asyncio.Queue[None](), time.perf_counter()
        listening = [asyncio.ensure_future(listen(port, run.id, begun)) for run in runs]
        for _ in runs:
            await begun.get()
        opened_s, held = time.perf_counter() - began, memory_mib(pid, "VmRSS")
        began = time.perf_counter()
        for run in runs:
            await run.send("Go")
        found = await asyncio.gather(*listening)
        told_s = time.perf_counter() - began
    return {
        "streams": float(count),
        "whole_streams": float(sum(one == 11 for one in found)),
        "before_mib": before,
        "held_mib": held,
        "peak_mib": memory_mib(pid, "VmHWM"),
        "opened_s": opened_s,
        "told_s": told_s,
    }


def memory_mib(pid: int, name: str) -> float:
    """Of a process, as Linux has it."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Measure, and print JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS
    load = os.getloadavg()[0]
    port, target = free_port(), "benchmarks.server:flows"
    with server() as url, process(url, "serve", target, "--port", str(port)) as serving, process(url, "worker", target):
        wait_until(lambda: answers(port), "the server of workflows")
        found = {
            "commit": commit(),
            "load_before": load,
            "run_nowait": requests(port, "/workflows/short/run-nowait", "{}"),
            "api_runs": requests(port, "/api/v1/runs", '{"workflow": "short"}'),
            "streams": asyncio.run(streams(port, serving.pid, count)),
            "load_after": os.getloadavg()[0],
            "goals": GOALS,
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

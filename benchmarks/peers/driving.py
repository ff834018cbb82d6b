"""What a driver process of any queue does: begin first tasks, and wait until the last ones have told they are done.

A queue has no runs: the last task of each pushes one item to a list, which costs less than any result of its own would.
Runs with the interpreter of the queue; imports nothing of this project.
"""

import asyncio
import inspect
import json
import os
import random
import sys
import time
from collections.abc import Callable

import redis.asyncio

URL = os.environ["BENCH_URL"]
DONE, LEFT = "bench:done", "bench:left"
CARGO = random.Random(1).randbytes(1_000_000)
IN_FLIGHT = 20
PATIENCE_S = 60
Begin = Callable[[str, object], object]


class Driver:
    """Runs workloads by a function that begins tasks: `begin(name, argument)`."""

    def __init__(self, begin: Begin) -> None:
        self.begin_task = begin
        self.client = redis.asyncio.from_url(URL, socket_timeout=None)

    async def begin(self, name: str, argument: object) -> None:
        begun = self.begin_task(name, argument)
        if inspect.isawaitable(begun):
            await begun

    async def done(self, count: int) -> None:
        while count:
            if await self.client.blpop([DONE], PATIENCE_S) is None:
                raise SystemExit(f"{count} tasks were not heard of")
            count -= 1
            more = await self.client.lpop(DONE, count) if count else None
            count -= len(more or ())

    async def chain(self, size: int) -> dict[str, float]:
        began = time.perf_counter()
        turns = asyncio.Semaphore(IN_FLIGHT)

        async def one(n: int) -> None:
            async with turns:
                await self.begin("one", n)

        await asyncio.gather(*[one(n) for n in range(size)])
        await self.done(size)
        return {"per_s": size / (time.perf_counter() - began)}

    async def single(self, size: int) -> dict[str, float]:
        took: list[float] = []
        for n in range(size):
            began = time.perf_counter()
            await self.begin("one", n)
            await self.done(1)
            took.append((time.perf_counter() - began) * 1000)
        took.sort()
        return {"p50_ms": took[size // 2], "p99_ms": took[int(size * 0.99)]}

    async def fan(self, size: int) -> dict[str, float]:
        began = time.perf_counter()
        await self.client.set(LEFT, size)
        await self.begin("spread", size)
        await self.done(1)
        return {"per_s": size / (time.perf_counter() - began)}

    async def carry(self, size: int) -> dict[str, float]:
        began, begun = time.perf_counter(), 0
        for _ in range(min(size, IN_FLIGHT)):
            begun += 1
            await self.begin("cargo_one", CARGO)
        for _ in range(size):
            await self.done(1)
            if begun < size:
                begun += 1
                await self.begin("cargo_one", CARGO)
        return {"per_s": size / (time.perf_counter() - began)}


async def drive(begin: Begin, facts: dict[str, str]) -> None:
    """Read `<workload> <size>` lines and answer each with one of JSON; first tell what this is."""
    driver, lines = Driver(begin), asyncio.get_running_loop()
    print(json.dumps(facts), flush=True)
    while line := await lines.run_in_executor(None, sys.stdin.readline):
        workload, size = line.split()
        print(json.dumps(await getattr(driver, workload)(int(size))), flush=True)

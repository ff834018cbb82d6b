"""One driver process: reads `<workload> <size>` lines, runs each, prints one JSON line with what it took.

Started by `python -m benchmarks` with the interpreter of the engine that is measured; imports nothing but `flows`.
"""

import asyncio
import json
import random
import sys
import time
from importlib.util import find_spec
from typing import Any

import flows


async def chain(size: int) -> dict[str, float]:
    began = time.perf_counter()
    results = await asyncio.gather(*[flows.chain.run(start_event=flows.Begin(n=n)) for n in range(size)])
    took = time.perf_counter() - began
    if results != [n + 3 for n in range(size)]:
        raise SystemExit("a chain gave a wrong result")
    return {"per_s": size / took}


async def single(size: int) -> dict[str, float]:
    took: list[float] = []
    for n in range(size):
        began = time.perf_counter()
        await flows.chain.run(start_event=flows.Begin(n=n))
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"p50_ms": took[size // 2], "p99_ms": took[int(size * 0.99)]}


async def _one(flow: flows.Workflow, size: int, expected: int) -> dict[str, float]:
    began = time.perf_counter()
    result = await flow.run(start_event=flows.Wide(count=size))
    took = time.perf_counter() - began
    if result != expected:
        raise SystemExit(f"{type(flow).__name__} gave {result}, not {expected}")
    return {"per_s": size / took, "took_s": took}


async def fan(size: int) -> dict[str, float]:
    return await _one(flows.fan, size, size)


async def patient(size: int) -> dict[str, float]:
    return await _one(flows.patient, size, size)


async def loop(size: int) -> dict[str, float]:
    return await _one(flows.loop, size, size)


async def edits(size: int) -> dict[str, float]:
    return await _one(flows.edits, size, size)


async def counts(size: int) -> dict[str, float]:
    return await _one(flows.counts, size, size)


async def heavy(size: int) -> dict[str, float]:
    return await _one(flows.heavy, size, size)


async def long(size: int) -> dict[str, float]:
    return await _one(flows.long, size, size)


async def collects(size: int) -> dict[str, float]:
    return await _one(flows.collects, size, size)


CARGO = random.Random(1).randbytes(1_000_000)
IN_FLIGHT = 20


async def carry(size: int) -> dict[str, float]:
    """1 MB each, which does not become smaller when compressed, 20 runs at one time."""
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def one(n: int) -> None:
        async with turns:
            cargo = n.to_bytes(4, "big") + CARGO[4:]
            if await flows.carry.run(start_event=flows.Cargo(data=cargo)) != len(cargo):
                raise SystemExit("a cargo was lost")

    began = time.perf_counter()
    await asyncio.gather(*[one(n) for n in range(size)])
    return {"per_s": size / (time.perf_counter() - began)}


PARKED: list[Any] = []


async def _parked(n: int) -> float:
    """Begin a run that waits: how many ms it took until its state could be read."""
    began = time.perf_counter()
    handler = flows.parked.run(start_event=flows.Begin(n=n))
    await handler.ctx.store.get("nothing", default=None)
    PARKED.append(handler)
    return (time.perf_counter() - began) * 1000


async def park(size: int) -> dict[str, float]:
    """Begin runs that wait, 20 submits at one time."""
    turns, began = asyncio.Semaphore(IN_FLIGHT), time.perf_counter()

    async def one(n: int) -> None:
        async with turns:
            await _parked(n)

    await asyncio.gather(*[one(n) for n in range(size)])
    return {"per_s": size / (time.perf_counter() - began)}


async def more(size: int) -> dict[str, float]:
    """Begin further ones, one at a time, beside those that wait already."""
    took = sorted([await _parked(len(PARKED)) for _ in range(size)])
    return {"p50_ms": took[size // 2], "p99_ms": took[int(size * 0.99)]}


async def answer(size: int) -> dict[str, float]:
    """Let the runs that wait go on, and wait for all of them."""
    began = time.perf_counter()
    for handler in PARKED:
        handler.ctx.send_event(flows.Answer())
    results = await asyncio.gather(*PARKED)
    PARKED.clear()
    if sorted(results) != list(range(size)):
        raise SystemExit("a run that waited was lost")
    return {"per_s": size / (time.perf_counter() - began)}


ALL = (chain, single, fan, patient, loop, edits, counts, heavy, long, collects, carry, park, more, answer)
WORKLOADS = {one.__name__: one for one in ALL}


async def main(first: str = "ready") -> None:
    lines = asyncio.get_running_loop()
    print(first, flush=True)
    while line := await lines.run_in_executor(None, sys.stdin.readline):
        workload, size = line.split()
        cpu = time.process_time()
        found = await WORKLOADS[workload](int(size))
        print(json.dumps({**found, "driver_cpu_s": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    if find_spec("uvloop") is not None:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())

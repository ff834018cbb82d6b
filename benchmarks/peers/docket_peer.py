"""docket, tuned to short polls: `python docket_peer.py` drives, with `work` it works."""

import asyncio
import sys
from datetime import timedelta
from importlib.metadata import version

import redis.asyncio
from docket import CurrentDocket, Docket, Worker
from driving import DONE, LEFT, URL, drive

AT_ONCE = 25
"""Each call takes a connection of its own, and there are not many."""
client = redis.asyncio.from_url(URL)


async def one(n: int, docket: Docket = CurrentDocket()) -> None:
    await docket.add(two)(n + 1)


async def two(n: int, docket: Docket = CurrentDocket()) -> None:
    await docket.add(three)(n + 1)


async def three(n: int) -> None:
    await client.rpush(DONE, n + 1)


async def spread(size: int, docket: Docket = CurrentDocket()) -> None:
    for first in range(0, size, AT_ONCE):
        await asyncio.gather(*[docket.add(item)(n) for n in range(first, min(first + AT_ONCE, size))])


async def item(n: int) -> None:
    if await client.decr(LEFT) == 0:
        await client.rpush(DONE, n)


async def cargo_one(data: bytes, docket: Docket = CurrentDocket()) -> None:
    await docket.add(cargo_two)(data)


async def cargo_two(data: bytes, docket: Docket = CurrentDocket()) -> None:
    await docket.add(cargo_three)(data)


async def cargo_three(data: bytes) -> None:
    await client.rpush(DONE, len(data))


TASKS = (one, two, three, spread, item, cargo_one, cargo_two, cargo_three)
FIRST = {"one": one, "spread": spread, "cargo_one": cargo_one}


async def main():
    async with Docket(name="bench", url=URL) as docket:
        for task in TASKS:
            docket.register(task)
        if "work" in sys.argv:
            quick = timedelta(milliseconds=10)
            async with Worker(docket, concurrency=AT_ONCE, minimum_check_interval=quick) as worker:
                await worker.run_forever()
        else:
            facts = {"docket": version("pydocket")}
            await drive(lambda name, argument: docket.add(FIRST[name])(argument), facts)


if __name__ == "__main__":
    asyncio.run(main())

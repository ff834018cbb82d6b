"""taskiq on its Redis stream broker: `python taskiq_peer.py` drives, `taskiq worker taskiq_peer:broker` works.

Its messages are JSON whatever the serializer, so 1 MB of bytes is text of the base 64.
"""

import asyncio
import base64
import importlib
from importlib.metadata import version

import redis.asyncio
from driving import DONE, LEFT, URL, drive
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(URL)
client = redis.asyncio.from_url(URL)


@broker.task
async def one(n: int) -> None:
    await two.kiq(n + 1)


@broker.task
async def two(n: int) -> None:
    await three.kiq(n + 1)


@broker.task
async def three(n: int) -> None:
    await client.rpush(DONE, n + 1)


@broker.task
async def spread(size: int) -> None:
    await asyncio.gather(*[item.kiq(n) for n in range(size)])


@broker.task
async def item(n: int) -> None:
    if await client.decr(LEFT) == 0:
        await client.rpush(DONE, n)


@broker.task
async def cargo_one(data: str) -> None:
    await cargo_two.kiq(data)


@broker.task
async def cargo_two(data: str) -> None:
    await cargo_three.kiq(data)


@broker.task
async def cargo_three(data: str) -> None:
    await client.rpush(DONE, len(data))


TASKS = {"one": one, "spread": spread, "cargo_one": cargo_one}


def begin(name, argument):
    return TASKS[name].kiq(base64.b64encode(argument).decode() if isinstance(argument, bytes) else argument)


async def main():
    await broker.startup()
    await drive(begin, {"taskiq": version("taskiq"), "taskiq-redis": version("taskiq-redis")})


if __name__ == "__main__":
    # Its tasks bear the name of their module, which workers import under this name.
    asyncio.run(importlib.import_module("taskiq_peer").main())

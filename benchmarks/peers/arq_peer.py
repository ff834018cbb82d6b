"""arq: `python arq_peer.py` drives, `arq arq_peer.WorkerSettings` works."""

import asyncio
from importlib.metadata import version

from arq import create_pool
from arq.connections import RedisSettings
from driving import DONE, LEFT, URL, drive

SETTINGS = RedisSettings.from_dsn(URL)


async def one(ctx, n):
    await ctx["redis"].enqueue_job("two", n + 1)


async def two(ctx, n):
    await ctx["redis"].enqueue_job("three", n + 1)


async def three(ctx, n):
    await ctx["redis"].rpush(DONE, n + 1)


async def spread(ctx, size):
    await asyncio.gather(*[ctx["redis"].enqueue_job("item", n) for n in range(size)])


async def item(ctx, n):
    if await ctx["redis"].decr(LEFT) == 0:
        await ctx["redis"].rpush(DONE, n)


async def cargo_one(ctx, data):
    await ctx["redis"].enqueue_job("cargo_two", data)


async def cargo_two(ctx, data):
    await ctx["redis"].enqueue_job("cargo_three", data)


async def cargo_three(ctx, data):
    await ctx["redis"].rpush(DONE, len(data))


class WorkerSettings:
    """Tuned: the defaults poll twice a second for ten jobs, and keep results for an hour."""

    functions = (one, two, three, spread, item, cargo_one, cargo_two, cargo_three)
    redis_settings = SETTINGS
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0


async def main():
    pool = await create_pool(SETTINGS)
    await drive(pool.enqueue_job, {"arq": version("arq")})


if __name__ == "__main__":
    asyncio.run(main())

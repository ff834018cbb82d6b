"""llama-agents-dbos on PostgreSQL: `python dbos_peer.py` drives and executes.

The workflows are those of `flows.py` and the workloads those of `drive.py`, as for this project; the runtime is used as
its README shows, with its defaults. A run stays in the process that begins it, so there are no workers beside the
driver: nothing travels to another process, and one interpreter does all. With `num_concurrent_runs` runs go through a
queue that other processes poll; two of them did no more runs on two cores, and each took longer.
"""

import asyncio
import json
import os
from importlib.metadata import version

import drive
import flows
import psycopg
from dbos import DBOS
from llama_agents.dbos import DBOSRuntime

URL = os.environ["BENCH_URL"]


def facts():
    with psycopg.connect(URL) as connection:
        major, minor = divmod(connection.info.server_version, 10_000)
    return {**{name: version(name) for name in ("llama-agents-dbos", "dbos")}, "PostgreSQL": f"{major}.{minor}"}


async def main():
    DBOS(config={"name": "bench", "system_database_url": URL, "log_level": "ERROR"})
    runtime = DBOSRuntime()
    # Not all of `flows`: each workflow has a queue that is polled once a second, also where no run goes through it.
    flows.chain = flows.Chain(timeout=120, runtime=runtime)
    flows.fan = flows.Fan(timeout=120, runtime=runtime)
    flows.carry = flows.Carry(timeout=120, runtime=runtime)
    await runtime.launch()
    await drive.main(json.dumps(facts()))


if __name__ == "__main__":
    asyncio.run(main())

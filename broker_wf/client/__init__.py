"""Start and watch runs from a program that has not the workflows' code: over HTTP, or straight to Redis.

::

    async with AsyncClient("https://workflows.example/wf", token="…") as client:
        run = await client.submit("greeting", {"name": "you"})
        async for event in run.events():
            print(event.type, event.value)
        print(await run.result())

    with Client("redis://localhost:6379/0") as client:
        print(client.run("greeting", {"name": "you"}))
"""

from broker_wf.client.asking import AsyncClient, AsyncRun
from broker_wf.client.blocking import Client, Run
from broker_wf.client.failures import RequestRefusedError, WorkflowNotFoundError
from broker_wf.client.ports import Health, RunPage
from broker_wf.core.run_options import RunOptions

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "Client",
    "Health",
    "RequestRefusedError",
    "Run",
    "RunOptions",
    "RunPage",
    "WorkflowNotFoundError",
]

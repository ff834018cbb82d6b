from __future__ import annotations

import asyncio

from broker_wf import Workflow, step
from broker_wf.broker.broker import open_broker
from broker_wf.core.ids import Lane
from broker_wf.events import StartEvent, StopEvent
from broker_wf.worker.services import Served
from broker_wf.worker.worker import Worker
from tests.integration.stage import Stage, within


class One(Workflow):
    @step
    async def end(self, ev: StartEvent) -> StopEvent:
        return StopEvent(result="one")


async def test_a_worker_claims_nothing_before_it_has_started(cluster: Stage) -> None:
    """Nobody would renew the lease, and a step that holds the event loop up would keep it from serving the rest."""
    handler = cluster.flow(One).run()
    broker = await open_broker(cluster.settings, cluster.url, patience_s=None)
    worker, program = Worker(broker, cluster.settings), cluster.flow(One).program()
    await worker.serve(Served(program=program, lane=Lane(program.spec.name)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert worker._claimer.claims == 0
    assert worker._claimer._asking is None
    worker.start()
    assert await within(handler) == "one"
    await worker.stop(0)
    await broker.pipe.close()

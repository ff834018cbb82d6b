"""A worker goes on with what follows from the step that it has just executed."""

from __future__ import annotations

from contextvars import ContextVar

from broker_wf import Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, within


class Turn(Event):
    name: str
    n: int


class Round(Workflow):
    """Goes on until the other run was here too."""

    @step
    async def begin(self, ev: StartEvent) -> Turn | StopEvent:
        if ev.get("last", False):
            probe.mark(ev.name, "the other")
            return StopEvent(result="the other")
        return Turn(name=ev.name, n=0)

    @step
    async def turn(self, ev: Turn) -> Turn | StopEvent:
        if ev.n == 0:
            probe.mark(ev.name, "going")
        if probe.count(ev.name, "the other"):
            return StopEvent(result=ev.n)
        return Turn(name=ev.name, n=ev.n + 1)


seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Leaves(Workflow):
    """Each step leaves something in a context variable, and says what it has found there."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        found = seen.get()
        seen.set("begin")
        return Turn(name=found, n=0)

    @step
    async def turn(self, ev: Turn) -> StopEvent:
        found = seen.get()
        seen.set("turn")
        return StopEvent(result=[ev.name, found])


async def test_variables_of_one_step_are_none_of_the_next(cluster: Stage) -> None:
    cluster.change(concurrency=1)
    await cluster.add_worker(Leaves)
    for _ in range(3):
        assert await within(cluster.flow(Leaves).run()) == ["nothing", "nothing"]


async def test_a_run_that_goes_on_and_on_lets_others_have_the_only_slot(cluster: Stage) -> None:
    cluster.change(concurrency=1)
    await cluster.add_worker(Round)
    name, flow = cluster.settings.namespace, cluster.flow(Round)
    going = flow.run(name=name)
    assert await within(flow.run(name=name, last=True)) == "the other"
    assert await within(going) >= 0


async def test_of_two_workers_each_may_go_on(cluster: Stage) -> None:
    for _ in range(2):
        await cluster.add_worker(Round)
    name, flow = cluster.settings.namespace, cluster.flow(Round)
    going = [flow.run(name=name) for _ in range(20)]
    await within(flow.run(name=name, last=True))
    for one in going:
        assert await within(one) >= 0

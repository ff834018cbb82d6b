"""What was executed ahead and is no link of a commit: it is handed on, or executed, under a lease."""

from __future__ import annotations

import asyncio
import sys
import time
from contextvars import ContextVar

import pytest
import redis

from broker_wf import Context, Workflow, step
from broker_wf.engine import ahead, ending
from broker_wf.errors import DecodeError
from broker_wf.events import Event, HumanResponseEvent, StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within
from tests.integration.turns import Turn, acts, be_patient, once_each, warm


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Leaves(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Turn:
        found = seen.get()
        seen.set("begin")
        return Turn(key=ev.key, n=0, last=0, at=0, what=found)

    @step
    async def turn(self, ev: Turn) -> StopEvent:
        found = seen.get()
        seen.set("turn")
        probe.mark(ev.key, f"{ev.what} {found}")
        return StopEvent(result=5)


async def test_variables_of_one_are_none_of_the_next(cluster: Stage) -> None:
    await warm(cluster, Leaves)
    assert set(probe.marks(cluster.settings.namespace + "warm")) == {"nothing nothing"}


class Cannot(Event):
    value: object = None


class Travels(Workflow):
    """Hands on what cannot travel when it is told to."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        return Turn(key=ev.key, n=0, last=0, at=0, what=ev.get("what", ""))

    @step
    async def turn(self, ev: Turn) -> Cannot | StopEvent:
        probe.mark(ev.key, "turn")
        if ev.what == "large":
            return Cannot(value="x" * 600_000)
        return Cannot(value=object()) if ev.what == "cannot" else StopEvent(result=5)

    @step
    async def end(self, ev: Cannot) -> StopEvent:
        return StopEvent(result=len(str(ev.value)))


async def test_what_cannot_travel_fails_the_step_that_gave_it(cluster: Stage) -> None:
    flow, key = await warm(cluster, Travels), cluster.settings.namespace
    with pytest.raises(Exception, match="object"):
        await within(flow.run(key=key, what="cannot"))
    assert probe.count(key, "turn") == 1


async def test_what_is_kept_apart_is_handed_on_under_a_lease(cluster: Stage) -> None:
    flow, key = await warm(cluster, Travels), cluster.settings.namespace
    assert await within(flow.run(key=key, what="large")) == 600_000
    assert probe.count(key, "turn") == 1


class Blocks(Workflow):
    """Is quick, but for one turn that holds everything up."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        return Turn(key=ev.key, n=0, last=5, at=ev.get("at", -1), what="")

    @step
    async def turn(self, ev: Turn) -> Turn | StopEvent:
        probe.mark(ev.key, f"turn {ev.n}")
        if ev.n == ev.at:
            time.sleep(0.02)
        return StopEvent(result=5) if ev.n == ev.last else Turn(key=ev.key, n=ev.n + 1, last=5, at=ev.at, what="")


async def test_one_that_blocks_ends_the_chain(cluster: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, key = await warm(cluster, Blocks), cluster.settings.namespace
    monkeypatch.setattr(ahead, "_LONGEST_S", 0.002)
    assert await within(flow.run(key=key, at=2)) == 5
    assert once_each(key, 5)


class Spreads(Workflow):
    """Hands on more than one commit can carry when it is told to."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        return Turn(key=ev.key, n=0, last=ev.get("many", 5), at=0, what="")

    @step
    async def turn(self, ev: Turn) -> list[Cannot]:
        probe.mark(ev.key, "turn")
        return [Cannot() for _ in range(ev.last)]

    @step
    async def end(self, evs: list[Cannot]) -> StopEvent:
        return StopEvent(result=len(evs))


async def test_a_large_fan_out_is_handed_on_under_a_lease(cluster: Stage) -> None:
    flow, key = await warm(cluster, Spreads), cluster.settings.namespace
    assert await within(flow.run(key=key, many=600)) == 600
    assert probe.count(key, "turn") == 1


async def test_one_whose_event_cannot_be_read_is_told_of_where_it_is_leased(
    cluster: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, key = await warm(cluster), cluster.settings.namespace

    async def unreadable(*_: object) -> None:
        raise DecodeError("event", "it is torn")

    monkeypatch.setattr(ending, "execute_ahead", unreadable)
    assert await within(flow.run(key=key)) == 5
    assert once_each(key, 5)


class Looks(Workflow):
    """Asks for its context though it takes none, at one turn, before or after it has waited."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        return Turn(key=ev.key, n=0, last=5, at=ev.get("at", -1), what=ev.get("what", ""))

    @step
    async def turn(self, ev: Turn) -> Turn | StopEvent:
        probe.mark(ev.key, f"turn {ev.n}")
        if ev.n == ev.at:
            if ev.what == "late":
                await asyncio.sleep(0.01)
            await Context.get_step_context().store.increment("looked")
        return StopEvent(result=5) if ev.n == ev.last else Turn(key=ev.key, n=ev.n + 1, last=5, at=ev.at, what=ev.what)


@pytest.mark.parametrize(("what", "starts"), [("early", 2), ("late", 1)])
async def test_one_that_uses_its_context_has_a_lease_for_it(cluster: Stage, what: str, starts: int) -> None:
    flow, key = await warm(cluster, Looks), cluster.settings.namespace
    handler = flow.run(key=key, at=3, what=what)
    assert await within(handler) == 5
    assert await handler.ctx.store.get("looked") == 1
    assert [probe.count(key, f"turn {n}") for n in range(6)] == [1, 1, 1, starts, 1, 1]
    again = flow.run(key=key + "again", at=3, what="early")
    assert await within(again) == 5
    assert probe.count(key + "again", "turn 3") == 1


class Hurries(Workflow):
    """Gives itself little time at one turn; asks or waits with its context at another."""

    @step
    async def begin(self, ev: StartEvent) -> Turn:
        return Turn(key=ev.key, n=0, last=5, at=ev.get("at", -1), what=ev.get("what", ""))

    @step
    async def turn(self, ev: Turn) -> Turn | StopEvent:
        probe.mark(ev.key, f"turn {ev.n}")
        if ev.n == ev.at and ev.what == "hurry":
            acts["hurry"]()
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(30)
            except asyncio.TimeoutError:
                probe.mark(ev.key, "too late")
            await asyncio.sleep(0.01)
        elif ev.n == ev.at:
            await asyncio.sleep(0.01)
            said = await Context.get_step_context().wait_for_event(Said)
            probe.mark(ev.key, said.text)
        return StopEvent(result=5) if ev.n == ev.last else Turn(key=ev.key, n=ev.n + 1, last=5, at=ev.at, what=ev.what)


class Said(HumanResponseEvent):
    text: str


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout, which cancels the step's task, came with 3.11")
async def test_a_time_out_of_its_own_is_its_own_while_its_lease_is_asked_for(cluster: Stage) -> None:
    flow, key = await warm(cluster, Hurries), cluster.settings.namespace

    def hold_up() -> None:
        with redis.Redis.from_url(cluster.url) as client:
            client.client_pause(300)

    acts["hurry"] = hold_up
    assert await within(flow.run(key=key, at=3, what="hurry")) == 5
    assert once_each(key, 5)
    assert probe.count(key, "too late") == 1


async def test_one_that_waits_for_an_event_all_the_same_begins_again_and_gets_it(cluster: Stage) -> None:
    flow, key = await warm(cluster, Hurries), cluster.settings.namespace
    handler = flow.run(key=key, at=3, what="wait")
    await until(lambda: probe.count(key, "turn 3") == 2)
    handler.ctx.send_event(Said(text="here it is"))
    assert await within(handler) == 5
    assert probe.count(key, "here it is") == 1

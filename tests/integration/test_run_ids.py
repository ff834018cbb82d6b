from __future__ import annotations

import asyncio
import threading

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.errors import RunConflictError, RunNotFoundError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.home import close_homes
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Go(Event):
    pass


class Counted(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Go | None:
        probe.mark(ev.name, "begun")
        ctx.write_event_to_stream(Go())
        return None

    @step
    async def end(self, ev: Go) -> StopEvent:
        return StopEvent(result="gone")


async def test_the_same_start_event_under_the_same_id_attaches(stage: Stage) -> None:
    flow, name = await stage.put_on(Counted), stage.settings.namespace
    first = flow.run(run_id="one", name=name)
    second = flow.run(run_id="one", name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    await within(second.send_event(Go()))
    assert [await within(first), await within(second), await within(flow.run(run_id="one", name=name))] == ["gone"] * 3
    assert probe.count(name, "begun") == 1
    assert first.run_id == second.run_id == "one"


async def test_another_start_event_under_the_same_id_is_refused_and_harms_nothing(stage: Stage) -> None:
    flow, name = await stage.put_on(Counted), stage.settings.namespace
    first = flow.run(run_id="one", name=name)
    with pytest.raises(RunConflictError, match="run id one is taken"):
        await within(flow.run(run_id="one", name=f"not {name}"))
    await within(first.send_event(Go()))
    assert await within(first) == "gone"


async def test_an_id_of_an_ended_run_still_conflicts(stage: Stage) -> None:
    flow, name = await stage.put_on(Counted), stage.settings.namespace
    first = flow.run(run_id="one", name=name)
    await within(first.send_event(Go()))
    await within(first)
    with pytest.raises(RunConflictError):
        await within(flow.run(run_id="one", name="other"))


async def test_a_run_is_known_only_where_it_was_made(stage: Stage) -> None:
    flow = await stage.put_on(Counted)
    with pytest.raises(RunNotFoundError, match="no run elsewhere is known here"):
        await within(flow.attach("elsewhere"))


@pytest.mark.parametrize("run_id", ["", "a|b", "{a}", "new\nline", "x" * 201, 7])
async def test_an_id_that_no_key_can_hold_is_refused_at_once(stage: Stage, run_id: object) -> None:
    with pytest.raises(ValueError, match="run_id cannot be"):
        stage.flow(Counted).run(run_id=run_id, name="x")


async def test_a_run_can_be_followed_from_another_event_loop(stage: Stage) -> None:
    flow, name = await stage.put_on(Counted), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 1)
    found: list[object] = []

    async def follow() -> None:
        other = stage.flow(Counted).attach(handler.run_id)
        seen = [type(event).__name__ async for event in other.stream_events()]
        found.extend([seen, await other])
        await close_homes()

    thread = threading.Thread(target=lambda: asyncio.run(follow()))
    thread.start()
    await within(handler.send_event(Go()))
    assert await within(handler) == "gone"
    await asyncio.to_thread(thread.join)
    assert found == [["Go", "StopEvent"], "gone"]


async def test_a_failed_attach_leaves_those_alone_who_follow_the_run(stage: Stage) -> None:
    flow = await stage.put_on(Counted)
    unknown = flow.attach("later")
    with pytest.raises(RunNotFoundError):
        await within(unknown)
    handler = flow.run(run_id="later", name=stage.settings.namespace)
    await within(handler.send_event(Go()))
    assert await within(handler) == "gone"

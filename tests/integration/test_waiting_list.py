"""What runs wait for, as any process can ask."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

from broker_wf import Context, Workflow, open_inspector, step
from broker_wf.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from broker_wf.handler import WorkflowHandler
from broker_wf.inspector.views import WaitView
from tests.integration.stage import Stage, within


class Ask(InputRequiredEvent):
    about: str


class Say(HumanResponseEvent):
    about: str
    yes: bool


class Other(Event):
    pass


class Asking(Workflow):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
        said = await asyncio.gather(
            ctx.wait_for_event(Say, waiter_event=Ask(about="a"), waiter_id="first=1", requirements={"about": "a"}),
            ctx.wait_for_event(Say, waiter_event=Ask(about="b"), requirements={"about": "b"}, timeout=None),
            ctx.wait_for_event(Other, timeout=None),
        )
        return StopEvent(result=[one.yes for one in said if isinstance(one, Say)])


async def waiting(stage: Stage, count: int, workflow: str | None = None) -> list[WaitView]:
    """What is waited for, as soon as that is so many things."""
    async with open_inspector(stage.settings) as inspector:
        found = await within(inspector.waiting(workflow))
        while len(found) != count:
            await asyncio.sleep(0.01)
            found = await within(inspector.waiting(workflow))
        return found


async def test_each_wait_is_listed_with_its_question_and_what_answers_it(stage: Stage) -> None:
    flow = await stage.put_on(Asking)
    handler = flow.run()
    found = {str(one.question): one for one in await within(waiting(stage, 3, flow.workflow_name))}
    first, second, silent = found["{'about': 'a'}"], found["{'about': 'b'}"], found["None"]
    assert {one.run_id for one in found.values()} == {handler.run_id}
    assert (first.question_type, first.waiter_id, first.requires) == ("Ask", "first=1", ("about",))
    assert (second.waiter_id, second.events, second.due_at) == (None, ("Say",), None)
    assert (silent.question_type, silent.events, silent.asked_at) == (None, ("Other",), None)
    assert first.asked_at is not None
    assert first.due_at is not None
    assert 1990 < (first.due_at - datetime.now(timezone.utc)).total_seconds() <= 2000
    await handler.cancel_run()


async def test_a_wait_leaves_the_list_when_it_is_answered(stage: Stage) -> None:
    handler = (await stage.put_on(Asking)).run()
    await within(waiting(stage, 3))
    await handler.send_event(Say(about="a", yes=True))
    assert "{'about': 'a'}" not in {str(one.question) for one in await within(waiting(stage, 2))}
    await handler.send_event(Say(about="b", yes=False))
    await handler.send_event(Other())
    assert await within(handler) == [True, False]
    assert await waiting(stage, 0) == []


async def test_a_run_that_waits_is_shown_with_its_waiting_delivery(stage: Stage) -> None:
    handler = (await stage.put_on(Asking)).run()
    await within(waiting(stage, 3))
    async with open_inspector(stage.settings) as inspector:
        view = await inspector.run(handler.run_id)
    assert [(one.step, one.state) for one in view.deliveries] == [("ask", "waiting")]
    assert [(one.step, one.waiting) for one in view.steps] == [("ask", 1)]
    await handler.cancel_run()


async def test_runs_of_other_workflows_are_left_out_when_one_is_named(stage: Stage) -> None:
    handler = (await stage.put_on(Asking)).run()
    await within(waiting(stage, 3))
    assert await waiting(stage, 0, "another") == []
    await handler.cancel_run()


class Returning(Workflow):
    """Asks by returning the question, and has nothing to do until the answer comes."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> Ask:
        ctx.write_event_to_stream(Other())
        return Ask(about="c")

    @step
    async def hear(self, ev: Say) -> StopEvent:
        return StopEvent(result=ev.yes)


async def test_a_run_that_has_returned_its_question_is_listed_until_it_is_answered(stage: Stage) -> None:
    handler = (await stage.put_on(Returning)).run()
    async for event in handler.stream_events():
        if isinstance(event, Ask):
            break
    (found,) = await within(waiting(stage, 1))
    assert (found.run_id, found.step, found.delivery) == (handler.run_id, "ask", "")
    assert (found.question_type, found.question) == ("Ask", {"about": "c"})
    assert found.events == (() if stage.in_process else ("Say",))
    assert found.asked_at is not None
    assert found.due_at is not None
    await handler.send_event(Say(about="c", yes=True))
    assert await within(handler) is True
    assert await waiting(stage, 0) == []


class Silent(Workflow):
    """Has nothing to do and asks nobody."""

    @step
    async def begin(self, ev: StartEvent) -> None:
        return None

    @step
    async def hear(self, ev: Say) -> StopEvent:
        return StopEvent(result=ev.yes)


async def test_a_run_that_waits_without_a_question_is_listed_too(stage: Stage) -> None:
    handler = (await stage.put_on(Silent)).run()
    (found,) = await within(waiting(stage, 1))
    assert (found.run_id, found.step, found.question_type, found.asked_at) == (handler.run_id, "", None, None)
    await handler.cancel_run()


class Twice(Workflow):
    """Asks two at one time, and a third when it hears more than both answers."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> Ask | None:
        ctx.write_event_to_stream(Ask(about="one"))
        return Ask(about="two")

    @step
    async def hear(self, ctx: Context, ev: Say) -> Ask | StopEvent | None:
        heard = await ctx.store.increment("heard")
        return {2: None, 3: Ask(about="three")}.get(heard, StopEvent(result=heard) if heard > 3 else None)


async def shown_question(stage: Stage, about: str | None) -> None:
    """Wait until the one run that waits shows this question, or none."""
    while True:
        (found,) = await waiting(stage, 1)
        if (found.question or {}).get("about") == about:
            return
        await asyncio.sleep(0.01)


async def heard(handler: WorkflowHandler, count: int) -> None:
    """Wait until a step has heard so many answers."""
    while True:
        if await handler.ctx.store.get("heard", default=0) == count:
            return
        await asyncio.sleep(0.01)


async def test_an_idle_run_shows_no_question_that_was_answered(stage: Stage) -> None:
    handler = (await stage.put_on(Twice)).run()
    await within(shown_question(stage, "two"))
    await handler.send_event(Say(about="one", yes=True))
    await within(heard(handler, 1))
    await within(shown_question(stage, "two"))
    await handler.send_event(Say(about="two", yes=True))
    await within(shown_question(stage, None))
    await handler.send_event(Say(about="more", yes=True))
    await within(shown_question(stage, "three"))
    await handler.send_event(Say(about="three", yes=True))
    assert await within(handler) == 4


class Nod(HumanResponseEvent):
    yes: bool


class Both(Workflow):
    """Asks and waits, and then has nothing to do until somebody says something more."""

    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> Ask | None:
        said = await ctx.wait_for_event(Nod, waiter_event=Ask(about="waited"))
        return Ask(about="returned") if said.yes else None

    @step
    async def hear(self, ev: Say) -> StopEvent:
        return StopEvent(result=ev.about)


async def test_an_idle_run_does_not_show_what_a_step_asked_and_has_heard(stage: Stage) -> None:
    for yes, about in ((False, None), (True, "returned")):
        handler = (await stage.put_on(Both)).run()
        await within(shown_question(stage, "waited"))
        await handler.send_event(Nod(yes=yes))
        await within(shown_question(stage, about))
        await handler.send_event(Say(about="end", yes=True))
        assert await within(handler) == "end"

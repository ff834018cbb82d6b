"""The handler of a run: awaited, asked, cancelled."""

from __future__ import annotations

import asyncio
import warnings
import zipfile

import pytest

from broker_wf import Workflow, step
from broker_wf import handler as handler_module
from broker_wf.errors import WorkflowCancelledByUser, WorkflowTimeoutError
from broker_wf.events import (
    Event,
    StartEvent,
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from broker_wf.handler import WorkflowHandler
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Odd(Exception):
    """An exception of the user's own."""


class Told(StartEvent):
    """``name`` is where a scenario leaves its marks."""

    name: str = ""
    how: str = ""


class Go(Event):
    name: str


class Typed(StopEvent):
    answer: int


class Plain(Workflow):
    @step
    async def begin(self, ev: Told) -> StopEvent:
        return StopEvent(result=ev.how)


class GivesTyped(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Typed:
        return Typed(answer=42)


class Siblings(Workflow):
    """Two steps at work when the run ends; each notes that it was cancelled, and tidies up."""

    @step
    async def begin(self, ev: Told) -> list[Go]:
        return [Go(name=ev.name), Go(name=ev.name)]

    @step
    async def work(self, ev: Go) -> StopEvent:
        probe.mark(ev.name, "begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            probe.mark(ev.name, "tidied")
            raise
        return StopEvent()


class EndsBadly(Workflow):
    @step
    async def begin(self, ev: Told) -> Go:
        return Go(name=ev.how)

    @step
    async def end(self, ev: Go) -> StopEvent:
        if ev.name == "fails":
            raise Odd("it failed")
        await asyncio.sleep(60)
        return StopEvent()


class FailsBesides(Siblings):
    @step
    async def begin(self, ev: Told) -> list[Go]:
        return [Go(name=ev.name), Go(name="fails")]

    @step
    async def work(self, ev: Go) -> StopEvent:
        if ev.name != "fails":
            return await super().work(ev)
        raise Odd("the other one")


class FailsInALibrary(Workflow):
    """Its module does not name the exception's class."""

    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise zipfile.BadZipFile("not a zip")


async def last_event(handler: WorkflowHandler) -> Event:
    return [event async for event in handler.stream_events()][-1]


async def test_a_handler_can_be_awaited_many_times_by_many(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run(how="well")

    async def wait() -> object:
        return await handler

    assert await within(asyncio.gather(wait(), wait())) == ["well", "well"]
    assert await handler == "well"
    assert (await handler.stop_event_result()).result == "well"


async def test_a_subclass_of_stop_event_is_the_result_itself(stage: Stage) -> None:
    handler = (await stage.put_on(GivesTyped)).run()
    result = await within(handler)
    assert isinstance(result, Typed)
    assert result.answer == 42
    assert handler.get_stop_event() is result


async def test_a_handler_tells_how_its_run_stands(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run(how="well")
    assert (handler.is_done(), handler.get_stop_event()) == (False, None)
    await within(handler)
    assert handler.is_done()
    for part in (Plain.__name__, handler.run_id, "well"):
        assert part in str(handler)


@pytest.mark.parametrize("how", ["fails", "takes too long", "is cancelled"])
async def test_the_last_event_is_there_before_the_exception_and_there_is_no_stop_event_but_after_a_cancel(
    stage: Stage, how: str
) -> None:
    flow = await stage.put_on(EndsBadly, timeout=0.3 if how == "takes too long" else 45)
    handler = flow.run(how=how)
    if how == "is cancelled":
        await handler.cancel_run()
    last = await within(last_event(handler))
    match how:
        case "fails":
            assert isinstance(last, WorkflowFailedEvent)
            assert (last.step_name, str(last.exception), last.attempts) == ("end", "it failed", 1)
            error: type[Exception] = Odd
        case "takes too long":
            assert isinstance(last, WorkflowTimedOutEvent)
            assert (last.timeout, last.active_steps) == (0.3, ["end"])
            error = WorkflowTimeoutError
        case _:
            assert isinstance(last, WorkflowCancelledEvent)
            error = WorkflowCancelledByUser
    with pytest.raises(error):
        await within(handler)
    with pytest.raises(error):
        await handler.stop_event_result()
    assert isinstance(handler.get_stop_event(), WorkflowCancelledEvent if how == "is cancelled" else type(None))


async def test_a_cancelled_run_lets_its_steps_tidy_up(stage: Stage) -> None:
    flow, name = await stage.put_on(Siblings), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 2)
    await within(handler.cancel_run())
    assert handler.is_done()
    await until(lambda: probe.count(name, "tidied") == 2)


async def test_a_failing_run_cancels_the_siblings_of_the_step_that_failed(stage: Stage) -> None:
    name = stage.settings.namespace
    with pytest.raises(Odd):
        await within((await stage.put_on(FailsBesides)).run(name=name))
    await until(lambda: probe.count(name, "tidied") == probe.count(name, "begun"))


async def test_cancelling_never_raises_and_does_nothing_once_the_run_has_ended(stage: Stage) -> None:
    handler = (await stage.put_on(Plain)).run(how="well")
    await within(handler)
    await handler.cancel_run()
    assert await handler == "well"
    unknown = stage.flow(Plain).attach("no-such-run")
    await within(unknown.cancel_run())


async def test_the_deprecated_methods_warn_once_and_work(stage: Stage) -> None:
    handler_module._warn.cache_clear()  # pyright: ignore[reportPrivateUsage]
    flow = await stage.put_on(EndsBadly)
    handler = flow.run(how="fails")
    with pytest.warns(DeprecationWarning, match="is_done"):
        assert not handler.done()
    with pytest.raises(Odd):
        await within(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert handler.done()
    with pytest.warns(DeprecationWarning, match="exception"):
        assert isinstance(handler.exception(), Odd)
    with pytest.warns(DeprecationWarning, match="cancelled"):
        assert not handler.cancelled()


async def test_the_deprecated_cancel_is_a_hard_stop(stage: Stage) -> None:
    handler_module._warn.cache_clear()  # pyright: ignore[reportPrivateUsage]
    flow, name = await stage.put_on(Siblings), stage.settings.namespace
    handler = flow.run(name=name)
    await until(lambda: probe.count(name, "begun") == 2)
    with pytest.warns(DeprecationWarning, match="cancel_run"):
        handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    with pytest.warns(DeprecationWarning, match="await handler"):
        assert handler.cancelled()
    await until(lambda: probe.count(name, "tidied") == 2)


@pytest.mark.filterwarnings("ignore:WorkflowHandler.cancel")
async def test_a_hard_stop_right_after_the_start_ends_the_run_too(stage: Stage) -> None:
    flow, name = await stage.put_on(Siblings), stage.settings.namespace
    handler, other = flow.run(name=name), flow.run(name=f"{name}-other")
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(handler)
    await within(other.ctx.store.get("nothing", default=None))  # what was submitted before it is there too
    with pytest.raises(WorkflowCancelledByUser):
        await within(flow.attach(handler.run_id))
    assert not other.is_done()
    await other.cancel_run()


async def test_a_second_handler_of_a_run_has_the_whole_stream_too(stage: Stage) -> None:
    flow = await stage.put_on(Plain)
    first = flow.run(how="well")
    assert isinstance(await within(last_event(first)), StopEvent)
    second = flow.attach(first.run_id)
    assert isinstance(await within(last_event(second)), StopEvent)
    assert await within(second) == "well"


async def test_an_exception_of_a_library_keeps_its_type_where_the_library_is_loaded(stage: Stage) -> None:
    with pytest.raises(zipfile.BadZipFile, match="not a zip"):
        await within((await stage.put_on(FailsInALibrary)).run())


async def test_an_exception_class_made_in_a_function_keeps_its_type_in_process(alone: Stage) -> None:
    class HereError(Exception):
        pass

    class FailsHere(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            raise HereError("here")

    with pytest.raises(HereError, match="here") as caught:
        await within((await alone.put_on(FailsHere)).run())
    assert "in begin" in str(getattr(caught.value, "remote_traceback", ""))

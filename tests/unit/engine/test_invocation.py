from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

import pytest

from broker_wf import Workflow, step
from broker_wf.core.ids import RunId
from broker_wf.core.outcome import Raised, Returned, Undecided
from broker_wf.core.spec import StepSpec
from broker_wf.engine import invocation
from broker_wf.engine.invocation import BufferNeeded, Call, invoke
from broker_wf.engine.tracing import StepTrace
from broker_wf.errors import StepTimeoutError, WorkflowRuntimeError
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.resource import Resource, ResourceManager


class Item(Event):
    n: int = 0


class Other(Event):
    pass


def a_hundred() -> int:
    return 100


class Flow(Workflow):
    @step
    async def one(self, ev: StartEvent) -> Item | StopEvent:
        return Item()

    @step
    async def listed(self, ev: Item) -> list[Item] | Other | None:
        return None

    @step
    async def end(self, ev: Other, n: Annotated[int, Resource(a_hundred)]) -> StopEvent:
        return StopEvent(result=n)

    @step
    def threaded(self, ev: Item) -> None:
        return None


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def call(threads: ThreadPoolExecutor) -> Callable[..., Call]:
    steps = Flow().program().spec.steps

    def of(name: str, function: Any = None, **changes: Any) -> Call:
        spec: StepSpec = next(one for one in steps.values() if one.name == name)
        if function is not None:
            spec = replace(spec, function=function, **changes)
        slot = spec.slots[0]
        resources = ResourceManager()
        events = {slot.parameter: slot.types[0]()}
        trace = StepTrace(run_id=RunId("r"), given=events, carried=None)
        return Call(step=spec, events=events, context=None, resources=resources, threads=threads, trace=trace)

    return of


def gives(value: object) -> Any:
    async def function(**_: object) -> object:
        return value

    return function


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("one", 7, "Step function one returned int instead of an Event instance."),
        ("one", [Item()], "Step function one returned list instead of an Event instance."),
        ("listed", [Item(), 7], "Step function listed returned list with int instead of an Event instance."),
        ("listed", Item(), "returned a bare Item, which it declares inside a list only"),
    ],
)
async def test_what_a_step_may_not_return_fails_it_by_name(
    call: Callable[..., Call], name: str, value: object, told: str
) -> None:
    outcome = await invoke(call(name, gives(value)))
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, WorkflowRuntimeError)
    assert told in str(outcome.error)


@pytest.mark.parametrize(
    ("name", "value", "events", "listed"),
    [
        ("listed", None, (), False),
        ("listed", [Item(n=1), Item(n=2)], (Item(n=1), Item(n=2)), True),
        ("listed", [], (), True),
        ("one", Item(n=3), (Item(n=3),), False),
    ],
)
async def test_what_a_step_may_return_is_handed_on(
    call: Callable[..., Call], name: str, value: object, events: tuple[Event, ...], listed: bool
) -> None:
    assert await invoke(call(name, gives(value))) == Returned(events=events, listed=listed)


async def test_a_step_gets_its_resources(call: Callable[..., Call]) -> None:
    outcome = await invoke(call("end"))
    assert isinstance(outcome, Returned)
    assert isinstance(outcome.events[0], StopEvent)
    assert outcome.events[0].result == 100


async def test_a_step_that_needs_events_of_a_buffer_is_undecided(call: Callable[..., Call]) -> None:
    needed = Undecided(buffer="default", want={})

    async def collects(**_: object) -> None:
        raise BufferNeeded(needed)

    assert await invoke(call("listed", collects)) is needed


async def test_what_is_no_exception_goes_through(call: Callable[..., Call]) -> None:
    class Leaves(BaseException):
        pass

    async def leaves(**_: object) -> None:
        raise Leaves

    with pytest.raises(Leaves):
        await invoke(call("listed", leaves))


async def test_a_step_that_runs_into_its_time_out_is_cancelled_and_fails_by_name(call: Callable[..., Call]) -> None:
    cancelled: list[str] = []

    async def slow(**_: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append("slow")
            raise

    outcome = await invoke(call("listed", slow, timeout_ms=10))
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, StepTimeoutError)
    assert cancelled == ["slow"]


async def test_a_step_that_takes_no_notice_of_its_cancellation_is_reported_and_fails_all_the_same(
    call: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invocation, "STOP_WITHIN_S", 0.01)
    may_end, stuck = asyncio.Event(), asyncio.Event()

    async def stubborn(**_: object) -> None:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()

    outcome = await invoke(replace(call("listed", stubborn, timeout_ms=10), stuck=stuck.set))
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, StepTimeoutError)
    assert stuck.is_set()
    may_end.set()


async def test_a_step_in_time_gives_what_it_gives(call: Callable[..., Call]) -> None:
    assert await invoke(call("one", gives(Item()), timeout_ms=60_000)) == Returned(events=(Item(),), listed=False)


async def test_a_cancelled_step_in_a_thread_ends_with_its_thread(call: Callable[..., Call]) -> None:
    began, may_end = threading.Event(), threading.Event()

    def blocks(**_: object) -> None:
        began.set()
        may_end.wait(20)
        raise LookupError("nobody hears of it")

    running = asyncio.ensure_future(invoke(call("threaded", blocks)))
    await asyncio.to_thread(began.wait, 20)
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    may_end.set()
    await asyncio.wait([running], timeout=20)
    assert running.cancelled()


async def test_a_second_cancellation_does_not_wait_for_the_thread(call: Callable[..., Call]) -> None:
    began, may_end = threading.Event(), threading.Event()

    def blocks(**_: object) -> None:
        began.set()
        may_end.wait(20)

    running = asyncio.ensure_future(invoke(call("threaded", blocks)))
    await asyncio.to_thread(began.wait, 20)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0.01)
    await asyncio.wait([running], timeout=20)
    assert running.cancelled()
    assert not may_end.is_set()
    may_end.set()


async def test_a_cancelled_step_whose_thread_has_not_begun_never_begins(
    call: Callable[..., Call], threads: ThreadPoolExecutor
) -> None:
    may_end, begun = threading.Event(), threading.Event()
    threads.submit(may_end.wait, 20)
    running = asyncio.ensure_future(invoke(call("threaded", lambda **_: begun.set())))
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running], timeout=20)
    assert running.cancelled()
    may_end.set()
    await asyncio.to_thread(threads.submit(int).result, 20)
    assert not begun.is_set()


async def test_a_step_that_ends_within_its_time_gives_what_it_returns(call: Callable[..., Call]) -> None:
    made = call("one", gives(Item()))
    outcome = await invoke(replace(made, step=replace(made.step, timeout_ms=5_000)))
    assert isinstance(outcome, Returned)


async def test_a_thread_that_was_never_started_leaves_nothing_to_hear() -> None:
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    done.cancel()
    invocation._unheard(done)
    assert done.cancelled()

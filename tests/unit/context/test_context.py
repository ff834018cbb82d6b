from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from broker_wf.context import Context
from broker_wf.context.backend import ContextBackend, RunBackend
from broker_wf.context.context import BeforeRun, InRun, InStep, current_step
from broker_wf.context.saved import Saved
from broker_wf.context.state_store import DictState, InMemoryStateStore, StateStore
from broker_wf.errors import ContextSerdeError, ContextStateError, WorkflowRuntimeError
from broker_wf.events import Event, StopEvent
from broker_wf.retry_policy import RetryInfo


class State(BaseModel):
    n: int = 3


class Needy(BaseModel):
    needed: int


class MyStop(StopEvent):
    pass


class Flow:
    def __init__(self, state_class: type[BaseModel] = DictState) -> None:
        self.state_class = state_class

    serializer = None

    def get_state_class(self) -> type[BaseModel]:
        return self.state_class

    def saved_types(self) -> list[type]:
        return []


class Step:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.store: StateStore[Any] = InMemoryStateStore(DictState())
        self.calls: list[tuple[Any, ...]] = []

    def send(self, event: Event, step: str | None) -> None:
        self.calls.append(("send", event, step))

    def collect(self, event: Event, expected: list[type[Event]], buffer_id: str | None) -> list[Event] | None:
        self.calls.append(("collect", event, expected, buffer_id))
        return [event]

    def write(self, event: Event) -> None:
        self.calls.append(("write", event))

    def progress(self, done: float, total: float | None, text: str) -> None:
        self.calls.append(("progress", done, total, text))

    def retry_info(self) -> RetryInfo:
        return RetryInfo(0, 0.0, None, None)

    @property
    def idempotency_key(self) -> str:
        return "run/0@step"

    async def wait(
        self,
        event_type: type[Event],
        waiter_event: Event | None,
        waiter_id: str | None,
        requirements: Mapping[str, object],
        timeout_s: float | None,
    ) -> Event:
        self.calls.append(("wait", event_type, waiter_event, waiter_id, requirements, timeout_s))
        return event_type()

    async def once(self, key: str, function: Callable[..., object], arguments: tuple[object, ...]) -> object:
        self.calls.append(("once", key, function, arguments))
        return function(*arguments)


class Run:
    def __init__(self, stop: StopEvent | None = None) -> None:
        self.store: StateStore[Any] = InMemoryStateStore(DictState())
        self.sent: list[tuple[Event, str | None]] = []
        self.stop = stop

    @property
    def is_running(self) -> bool:
        return self.stop is None

    def send(self, event: Event, step: str | None) -> None:
        self.sent.append((event, step))

    async def running_steps(self) -> list[str]:
        return ["a"]

    async def events(self, *, expose_internal: bool) -> AsyncGenerator[Event, None]:
        yield StopEvent()

    def saved(self, *, include_state: bool) -> Saved:
        return Saved(state=DictState(a=1) if include_state else None)

    def stop_event(self) -> StopEvent:
        if self.stop is None:
            raise WorkflowRuntimeError("the run is not complete")
        return self.stop


def test_what_a_backend_gives_is_written_with_the_serializer_of_the_context() -> None:
    ctx: Context[Any] = Context.of(InRun(Run()))
    assert ctx.to_dict()["state"]["state_data"] == {"_data": {"a": "1"}}
    assert ctx.to_dict(include_state=False)["state"] == {}


def in_step() -> tuple[Context[Any], Step]:
    backend = Step()
    as_backend: ContextBackend = backend
    return Context[Any].of(InStep(as_backend)), backend


def in_run(stop: StopEvent | None = None) -> tuple[Context[Any], Run]:
    backend = Run(stop)
    as_backend: RunBackend = backend
    return Context[Any].of(InRun(as_backend)), backend


def before_run() -> Context[Any]:
    return Context(Flow())


def test_a_context_names_its_state_in_an_annotation() -> None:
    assert (get_origin(Context[State]), get_args(Context[State])) == (Context, (State,))


async def test_before_the_run_the_store_holds_what_the_state_will_begin_with() -> None:
    ctx: Context[State] = Context(Flow(State))
    assert await ctx.store.get("n") == 3
    await ctx.store.set("n", 4)
    face = ctx.face
    assert isinstance(face, BeforeRun)
    assert face.store.state == State(n=4)
    assert ctx.is_running is False


def test_a_state_without_defaults_has_no_beginning() -> None:
    with pytest.raises(ValueError, match=r"State must have defaults for all fields"):
        _ = Context(Flow(Needy)).store


def test_a_saved_context_of_a_run_that_went_on_is_running() -> None:
    saved = {"version": 2, "is_running": True, "run": "eJwDAAAAAAE="}
    assert Context(Flow(), previous_context=saved).is_running


def test_a_saved_context_that_is_none_is_refused() -> None:
    with pytest.raises(ContextSerdeError):
        Context(Flow(), previous_context={"version": 99})


def test_a_step_reaches_its_backend() -> None:
    ctx, backend = in_step()
    event = Event()
    ctx.send_event(event)
    ctx.send_event(event, step="a")
    ctx.write_event_to_stream(event)
    ctx.write_event_to_stream(None)
    ctx.progress(1, 2, "half")
    assert ctx.collect_events(event, [Event], buffer_id="b") == [event]
    assert backend.calls == [
        ("send", event, None),
        ("send", event, "a"),
        ("write", event),
        ("progress", 1, 2, "half"),
        ("collect", event, [Event], "b"),
    ]
    assert ctx.retry_info() == RetryInfo(0, 0.0, None, None)
    assert ctx.store is backend.store


async def test_a_handler_reaches_its_backend() -> None:
    ctx, backend = in_run()
    event = Event()
    ctx.send_event(event, step="a")
    assert backend.sent == [(event, "a")]
    assert [type(e) async for e in ctx.stream_events()] == [StopEvent]
    assert ctx.store is backend.store
    assert ctx.is_running
    assert not in_run(StopEvent())[0].is_running


def test_the_result_is_that_of_a_plain_stop_event_and_else_the_event() -> None:
    stop = MyStop()
    with pytest.warns(DeprecationWarning, match="deprecated|always true"):
        assert in_run(StopEvent(result=1))[0].get_result() == 1
    with pytest.warns(DeprecationWarning, match="deprecated|always true"):
        assert in_run(stop)[0].get_result() is stop
    with (
        pytest.warns(DeprecationWarning, match="deprecated|always true"),
        pytest.raises(WorkflowRuntimeError, match=r"is not complete"),
    ):
        in_run()[0].get_result()


def test_within_a_step_the_run_is_running() -> None:
    with pytest.warns(DeprecationWarning, match="deprecated|always true"):
        assert in_step()[0].is_running


STEP_ONLY = {
    "collect_events": lambda ctx: ctx.collect_events(Event(), []),
    "write_event_to_stream": lambda ctx: ctx.write_event_to_stream(None),
    "progress": lambda ctx: ctx.progress(1, 2),
    "retry_info": lambda ctx: ctx.retry_info(),
}
RUN_ONLY = {"stream_events": lambda ctx: ctx.stream_events(), "get_result": lambda ctx: ctx.get_result()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [*STEP_ONLY, *RUN_ONLY])
def test_before_the_run_a_method_asks_for_a_running_workflow(name: str) -> None:
    with pytest.raises(ContextStateError, match=f"^{name} requires a running workflow"):
        {**STEP_ONLY, **RUN_ONLY}[name](before_run())


@pytest.mark.parametrize("name", STEP_ONLY)
def test_a_method_of_steps_is_refused_in_a_handler(name: str) -> None:
    with pytest.raises(ContextStateError, match=f"^{name} is only available from within step functions"):
        STEP_ONLY[name](in_run()[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", RUN_ONLY)
def test_a_method_of_handlers_is_refused_in_a_step(name: str) -> None:
    with pytest.raises(ContextStateError, match=f"^{name} is only available from handler code"):
        RUN_ONLY[name](in_step()[0])


def test_nothing_can_be_sent_before_the_run() -> None:
    with pytest.raises(ContextStateError, match=r"^send_event\(\) called before workflow started"):
        before_run().send_event(Event())


def test_the_context_of_the_executing_step_can_be_asked_for() -> None:
    with pytest.raises(WorkflowRuntimeError, match=r"may only be called from within a step function"):
        Context.get_step_context()
    ctx, _ = in_step()
    token = current_step.set(ctx)
    try:
        assert Context.get_step_context() is ctx
    finally:
        current_step.reset(token)


async def test_a_step_waits_through_its_backend() -> None:
    ctx, backend = in_step()
    assert await ctx.wait_for_event(MyStop) == MyStop()
    await ctx.wait_for_event(Event, Event(), "id", {"a": 1}, None)
    assert backend.calls == [("wait", MyStop, None, None, {}, 2000), ("wait", Event, Event(), "id", {"a": 1}, None)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"event_type": str}, "waits for an Event class, not <class 'str'>"),
        ({"event_type": Event()}, "waits for an Event class"),
        ({"waiter_event": "name?"}, "waiter_event is an Event"),
        ({"requirements": ["a"]}, "requirements are a dict"),
        ({"timeout": "1"}, "timeout is seconds"),
        ({"timeout": True}, "timeout is seconds"),
        ({"timeout": -1}, "timeout is seconds from 0 on"),
        ({"timeout": float("nan")}, "timeout is seconds from 0 on"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(arguments: dict[str, Any], error: str) -> None:
    ctx, _ = in_step()
    with pytest.raises((TypeError, ValueError), match=error):
        _ = ctx.wait_for_event(**({"event_type": Event} | arguments))


async def test_a_step_remembers_through_its_backend() -> None:
    ctx, backend = in_step()
    assert await ctx.once("key", max, 1, 2) == 2
    assert backend.calls == [("once", "key", max, (1, 2))]
    assert ctx.idempotency_key == "run/0@step"


async def test_a_handler_asks_for_the_steps_that_execute() -> None:
    assert await in_run()[0].running_steps() == ["a"]


def test_only_a_step_waits_and_remembers() -> None:
    for ctx in (in_run()[0], before_run()):
        with pytest.raises(ContextStateError):
            _ = ctx.wait_for_event(Event)
        with pytest.raises(ContextStateError):
            _ = ctx.once("key", max)
        with pytest.raises(ContextStateError):
            _ = ctx.idempotency_key

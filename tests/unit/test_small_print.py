"""Facts of a workflow that API.md names and that need no run."""

from __future__ import annotations

import importlib
import inspect
from typing import Annotated, Any

import pytest

from broker_wf import Workflow, step
from broker_wf.context import JsonSerializer
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.plugins import basic_runtime, get_current_runtime
from broker_wf.resource import Resource, ResourceManager
from broker_wf.retry_policy import retry_policy

TENACITY = (
    "retry_if_exception",
    "retry_if_exception_type",
    "retry_if_not_exception_type",
    "retry_unless_exception_type",
    "retry_if_exception_message",
    "retry_if_not_exception_message",
    "retry_if_exception_cause_type",
    "retry_any",
    "retry_all",
    "wait_fixed",
    "wait_none",
    "wait_exponential",
    "wait_incrementing",
    "wait_random",
    "wait_exponential_jitter",
    "wait_random_exponential",
    "wait_full_jitter",
    "wait_chain",
    "wait_combine",
    "stop_after_attempt",
    "stop_after_delay",
    "stop_before_delay",
    "stop_any",
    "stop_all",
)


class Item(Event):
    pass


made: list[object] = []


def make() -> object:
    made.append(object())
    return made[-1]


class Flow(Workflow):
    @step(num_workers=2, retry_policy=retry_policy())
    async def begin(self, ev: StartEvent, one: Annotated[object, Resource(make)]) -> Item | StopEvent:
        return StopEvent()

    @step
    async def end(self, ev: Item) -> StopEvent:
        return StopEvent()


def test_a_workflow_tells_its_events_its_serializer_and_its_runtime() -> None:
    serializer = JsonSerializer()
    flow = Flow(serializer=serializer)
    assert set(flow.events) == {StartEvent, Item, StopEvent}
    assert len(flow.events) == 3
    assert flow.serializer is serializer
    assert Flow().serializer is None
    assert Flow().runtime is basic_runtime
    assert get_current_runtime() is basic_runtime


def test_instances_share_resources_if_they_are_given_one_manager() -> None:
    manager = ResourceManager()
    before = len(made)
    for _ in range(2):
        Flow(resource_manager=manager).validate(validate_resources=True)
    assert len(made) == before + 1
    for _ in range(2):
        Flow().validate(validate_resources=True)
    assert len(made) == before + 3


def test_what_a_step_was_declared_with_is_found_on_its_function() -> None:
    config: Any = vars(Flow.begin)["_step_config"]
    assert config.num_workers == 2
    assert config.accepted_events == [StartEvent]
    assert set(config.return_types) == {Item, StopEvent}


@pytest.mark.parametrize("name", TENACITY)
def test_a_policy_is_made_with_the_names_that_tenacity_has(name: str) -> None:
    ours, theirs = (getattr(importlib.import_module(one), name) for one in ("broker_wf.retry_policy", "tenacity"))
    assert inspect.signature(ours).parameters.keys() <= inspect.signature(theirs).parameters.keys()

"""What it takes to define a workflow, and what that leaves until something runs."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from broker_wf import events, workflow
from broker_wf.events import StepState, UnhandledEvent, UnreconstructedException

DEFINE = """
from broker_wf import Context, Workflow, step
from broker_wf.events import StartEvent, StopEvent

class Flow(Workflow):
    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent()

flow = Flow()
"""
RUNS = {"redis", "msgpack", "broker_wf.broker", "broker_wf.engine", "broker_wf.worker", "broker_wf.driver"}
SHOWS = {"broker_wf.representation", "broker_wf.inspector"}
PYDANTIC = """
from pydantic import BaseModel

class Model(BaseModel):
    field: int
"""
WRITES = {
    "broker_wf",
    "broker_wf.context",
    "broker_wf.context.checks",
    "broker_wf.context.context",
    "broker_wf.context.paths",
    "broker_wf.context.state_store",
    "broker_wf.core",
    "broker_wf.core.class_names",
    "broker_wf.core.ids",
    "broker_wf.core.run_ids",
    "broker_wf.core.signature",
    "broker_wf.decorators",
    "broker_wf.errors",
    "broker_wf.events",
    "broker_wf.events.dict_like",
    "broker_wf.later",
    "broker_wf.types",
    "broker_wf.workflow",
}


def modules(program: str) -> set[str]:
    """What a fresh process has loaded after the program."""
    told = f"{program}\nimport sys\nprint(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def loaded(program: str, names: set[str]) -> set[str]:
    """Those of the modules that a fresh process has loaded after the program."""
    return names & modules(program)


def test_what_a_workflow_is_written_with_loads_nothing_beside_pydantic() -> None:
    ours = modules("from broker_wf import Context, Workflow, catch_error, step") - modules(PYDANTIC)
    assert {name for name in ours if not name.startswith("pydantic")} == WRITES


def test_steps_without_resources_and_collections_are_written_without_these() -> None:
    steps = DEFINE.removesuffix("flow = Flow()\n")
    unused = {"asyncio", "broker_wf.resource", "broker_wf.collect", "broker_wf.retry_policy", "broker_wf.core.spec"}
    assert loaded(steps, unused) == set()


@pytest.mark.parametrize("program", ["import broker_wf", DEFINE])
def test_a_workflow_is_defined_without_what_runs_or_draws_it(program: str) -> None:
    assert loaded(program, RUNS | SHOWS) == set()


def test_a_program_is_made_without_what_reaches_a_server() -> None:
    assert loaded(f"{DEFINE}\nflow.program()", {"redis", "broker_wf.driver", "broker_wf.worker"} | SHOWS) == set()


def test_what_begins_runs_for_workers_elsewhere_loads_no_worker_and_no_drawing() -> None:
    assert loaded("import broker_wf.launching", {"broker_wf.worker.worker", "broker_wf.embedded"} | SHOWS) == set()


def test_a_name_is_looked_for_in_the_module_itself() -> None:
    with pytest.raises(AttributeError, match=r"broker_wf\.launching.*nothing"):
        _ = workflow.launching.nothing


def test_an_event_of_the_engine_is_known_under_its_name_before_anything_has_asked_for_it() -> None:
    event = UnhandledEvent(event_type="E", qualified_name="app.E", idle=True)
    for known in (UnhandledEvent, StepState, UnreconstructedException):
        assert known.__module__ == "broker_wf.events"
    program = f"import pickle\nassert pickle.loads({pickle.dumps(event)!r}).event_type == 'E'"
    assert loaded(program, {"broker_wf.events.engine"}) == {"broker_wf.events.engine"}


def test_events_name_all_that_they_have() -> None:
    program = "from broker_wf.events import *\nassert StepState and SerializableEvent and issubclass(StopEvent, Event)"
    assert loaded(program, {"broker_wf.events.nested"}) == {"broker_wf.events.nested"}
    with pytest.raises(AttributeError, match=r"broker_wf\.events.*nothing"):
        _ = events.nothing

from __future__ import annotations

import subprocess
import sys

import pytest
import workflows
from workflows import Context, step
from workflows.errors import ContextStateError, WorkflowConfigurationError, WorkflowRuntimeError, WorkflowTimeoutError
from workflows.events import StartEvent, StepState, StepStateChanged, StopEvent

import broker_wf
from broker_wf import errors as ours
from broker_wf.core.spec import Intake
from broker_wf.integrations.llama_index import distribute
from broker_wf.integrations.llama_index.errors import their_error, their_errors
from broker_wf.integrations.llama_index.events import to_ours, to_theirs
from tests.conformance.scenarios import basic, concurrency, retries


def test_a_workflow_of_ours_needs_no_adapter() -> None:
    class Own(broker_wf.Workflow):
        @broker_wf.step
        async def only(self, ev: broker_wf.events.StartEvent) -> broker_wf.events.StopEvent:
            return broker_wf.events.StopEvent()

    with pytest.raises(TypeError, match="needs no adapter"):
        distribute(Own())


def test_constructor_arguments_are_taken_over() -> None:
    original = basic.JokeFlow(timeout=7, num_concurrent_runs=3, workflow_name="jokes")
    flow = distribute(original)
    assert flow.workflow_name == "jokes"
    assert flow.spec.timeout_ms == 7000
    assert flow.spec.num_concurrent_runs == 3


def test_the_kinds_of_intake_are_read_from_step_config() -> None:
    intakes = {
        cls: {name: one.intake for name, one in distribute(cls()).spec.steps.items()}
        for cls in (concurrency.Listed, concurrency.Pair)
    }
    assert intakes[concurrency.Listed]["gather"] is Intake.COLLECTION
    assert intakes[concurrency.Listed]["spread"] is Intake.SINGLE
    assert intakes[concurrency.Pair]["both"] is Intake.SLOTS


def test_num_workers_keeps_its_meaning_within_one_run() -> None:
    step_spec = distribute(concurrency.Parallel()).spec.steps["work"]
    assert (step_spec.num_workers, step_spec.num_workers_per_run) == (None, 4)


def test_a_retry_policy_is_the_originals_own() -> None:
    assert distribute(retries.Flaky()).spec.steps["flaky"].retry_policy is not None


def test_a_graph_that_is_wrong_raises_the_originals_error() -> None:
    class Nothing(workflows.Workflow):
        pass

    with pytest.raises(WorkflowConfigurationError):
        distribute(Nothing())


def test_the_adapter_shows_the_originals_event_classes_and_attributes() -> None:
    flow = distribute(basic.Shop())
    assert flow.start_event_class is basic.Order
    assert flow.stop_event_class is basic.Bill
    assert flow.original.workflow_name == flow.workflow_name


@pytest.mark.parametrize("name", ["WorkflowTimeoutError", "WorkflowRuntimeError", "ContextStateError"])
def test_errors_of_ours_become_theirs_with_their_text(name: str) -> None:
    made = their_error(getattr(ours, name)("so it is"))
    assert type(made) is getattr(workflows.errors, name)
    assert str(made) == "so it is"


def test_other_errors_stay_as_they_are() -> None:
    error = LookupError("no")
    assert their_error(error) is error
    with pytest.raises(LookupError), their_errors():
        raise error


def test_errors_are_translated_where_they_are_raised() -> None:
    with pytest.raises(WorkflowTimeoutError, match="slow"), their_errors():
        raise ours.WorkflowTimeoutError("slow")


def test_internal_events_are_translated_with_their_enums() -> None:
    event = StepStateChanged(name="a", step_state=StepState.RUNNING, worker_id="0", input_event_name="b")
    assert to_theirs(to_ours(event)) == event
    assert type(to_ours(event)) is broker_wf.events.StepStateChanged


def test_a_stop_event_keeps_result_and_undeclared_values() -> None:
    event = StopEvent(result=3, more="x")
    assert to_theirs(to_ours(event)) == event


class Answer(workflows.Workflow):
    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent()


def test_what_is_no_context_is_refused() -> None:
    with pytest.raises(TypeError, match="ctx must be a Context"):
        distribute(Answer()).run(ctx=3)


def test_wrong_fields_raise_the_originals_error() -> None:
    with pytest.raises(WorkflowRuntimeError, match="Failed creating a start event of type 'Order'"):
        distribute(basic.Shop()).run(count="many")


async def test_a_fresh_context_knows_that_no_step_executes() -> None:
    with pytest.raises(ContextStateError, match="before workflow started"):
        Context(distribute(Answer())).send_event(StartEvent())


def test_without_the_extra_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['workflows'] = None; import broker_wf.integrations.llama_index"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs llama-index-workflows: pip install 'broker-wf[llamaindex]'" in done.stderr

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker_wf.cli.failures import CANNOT_IMPORT, CommandError, Failure
from broker_wf.cli.target import load_targets

Write = Callable[[str, str], None]

FLOW = """
    from broker_wf import Workflow, step
    from broker_wf.events import Event, StartEvent, StopEvent

    class Flow(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

    class Other(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            return StopEvent()

    flow = Flow()
    several = [flow, Other]
    number = 5
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Make a module in the working directory; all of them are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)

    def make(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    yield make
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name.partition('.')[0]}.py").exists():
            del sys.modules[name]


def faults(*targets: str) -> list[Failure]:
    with pytest.raises(CommandError) as raised:
        load_targets(targets)
    assert {failure.code for failure in raised.value.failures} == {CANNOT_IMPORT}
    return list(raised.value.failures)


def test_an_instance_is_taken_as_it_is(write: Write) -> None:
    write("app_a", FLOW)
    (flow,) = load_targets(["app_a:flow"])
    assert flow is sys.modules["app_a"].flow


def test_a_class_is_made_an_instance(write: Write) -> None:
    write("app_b", FLOW)
    (flow,) = load_targets(["app_b:Flow"])
    assert type(flow).__name__ == "Flow"


def test_a_list_may_mix_instances_and_classes(write: Write) -> None:
    write("app_c", FLOW)
    assert [type(flow).__name__ for flow in load_targets(["app_c:several"])] == ["Flow", "Other"]


def test_a_workflow_that_is_named_twice_is_served_once(write: Write) -> None:
    write("app_d", FLOW)
    assert len(load_targets(["app_d:flow", "app_d:several", "app_d:Flow"])) == 2


def test_what_is_wrong_with_all_targets_is_told_at_once(write: Write) -> None:
    write("app_e", FLOW)
    told = faults("app_e:absent", "nowhere.app:flow", "app_e:number", "app_e", "./app_e.py:flow")
    assert [failure.why for failure in told] == [
        "app_e has no attribute 'absent'",
        "there is no module 'nowhere' on the import path",
        "an object of class int is not a workflow",
        "it is not of the form MODULE:ATTR",
        "MODULE is a path, and must be a name",
    ]
    assert told[0].mend == "In app_e there is: Flow, Other, flow, several."
    assert told[4].mend == "Write app_e:flow."


def test_a_module_without_workflows_says_how_to_make_one(write: Write) -> None:
    write("app_f", "x = 1")
    (failure,) = faults("app_f:x")
    assert "define one" in failure.mend


def test_an_error_in_the_module_is_told_with_its_line(write: Write) -> None:
    write("app_g", "\n\nvalue = 1 / 0\n")
    (failure,) = faults("app_g:flow")
    assert "app_g.py, line 3: ZeroDivisionError: division by zero" in failure.why


def test_a_syntax_error_is_told_with_its_line(write: Write) -> None:
    write("app_h", "\ndef broken(:\n")
    (failure,) = faults("app_h:flow")
    assert "app_h.py, line 2: SyntaxError" in failure.why


def test_an_import_that_the_module_makes_is_told_with_its_line(write: Write) -> None:
    write("app_i", "\nimport not_there.at_all\n")
    (failure,) = faults("app_i:flow")
    assert "app_i.py, line 2: ModuleNotFoundError" in failure.why
    assert "Install what provides 'not_there'" in failure.mend


def test_a_module_that_exits_does_not_end_the_command(write: Write) -> None:
    write("app_j", "raise SystemExit(0)")
    (failure,) = faults("app_j:flow")
    assert "__main__" in failure.mend


def test_a_class_that_needs_arguments_asks_for_an_instance(write: Write) -> None:
    write(
        "app_k",
        FLOW
        + """
    class Needy(Flow):
        def __init__(self, key: str) -> None:
            super().__init__()
""",
    )
    (failure,) = faults("app_k:Needy")
    assert "TypeError" in failure.why
    assert "workflow = Needy(…)" in failure.mend


def test_a_graph_that_does_not_work_is_told_when_it_is_loaded(write: Write) -> None:
    write(
        "app_l",
        FLOW
        + """
    class Lost(Event):
        pass

    class Broken(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> Lost | StopEvent:
            return Lost()

    class NoStart(Workflow):
        @step
        async def begin(self, ev: Lost) -> StopEvent:
            return StopEvent()

    broken = Broken()
""",
    )
    told = faults("app_l:broken", "app_l:NoStart")
    assert "produced but never consumed: Lost" in told[0].why
    assert "StartEvent" in told[1].why


def test_two_classes_under_one_name_are_refused_with_both_their_names(write: Write) -> None:
    write("app_m", FLOW + "\n    twin = Other(workflow_name=flow.workflow_name)\n")
    (failure,) = faults("app_m:flow", "app_m:twin")
    assert "Other and Flow are both called 'app_m.Flow'" in failure.why


def test_a_workflow_of_the_original_is_told_of_the_adapter(write: Write) -> None:
    write(
        "app_n",
        """
        import workflows
        from workflows import step
        from workflows.events import StartEvent, StopEvent
        from broker_wf.integrations.llama_index import distribute

        class Theirs(workflows.Workflow):
            @step
            async def only(self, ev: StartEvent) -> StopEvent:
                return StopEvent()

        class Others(Theirs):
            pass

        theirs = Theirs()
        adapted = distribute(theirs)
        twin = distribute(Others(workflow_name=theirs.workflow_name))
        """,
    )
    (failure,) = faults("app_n:theirs")
    assert "is a workflow of llama-index-workflows" in failure.why
    assert "distribute(workflow)" in failure.mend
    assert len(load_targets(["app_n:adapted"])) == 1
    (failure,) = faults("app_n:adapted", "app_n:twin")
    assert "Others and Theirs are both called" in failure.why or "Theirs and Others are both called" in failure.why

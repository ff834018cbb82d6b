"""API.md sections 1, 2, 8, 9 and 10: what is refused when it is defined, made or validated, and in which words.

Each source is executed with the names of the original and with those of this library. Both raise the same class, and
both say what API.md names.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import pytest

MODULES = ("", ".collect", ".errors", ".events", ".resource", ".retry_policy")
NAMES = """
from collections.abc import AsyncIterator
from typing import Annotated, Any
from pydantic import BaseModel

class A(Event): pass
class B(Event): pass
class C(Event): pass
class Asked(InputRequiredEvent): pass
class Said(HumanResponseEvent): pass
class OtherStart(StartEvent): pass
class OtherStop(StopEvent): pass
class Good(Workflow):
    @step
    async def one(self, ev: StartEvent) -> StopEvent: return StopEvent()
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A source, and what is raised: the name of the class and a part of the text."""

    source: str
    error: str
    says: str


def flow(body: str, then: str = "Flow().validate()") -> str:
    """A workflow with these steps, and what is done with it."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"class Flow(Workflow):\n{indented}\n{then}\n"


def one_step(signature: str, decorator: str = "@step") -> str:
    return flow(f"{decorator}\nasync def one({signature}: ...", "")


VALIDATION, CONFIGURATION = "WorkflowValidationError", "WorkflowConfigurationError"
START = "@step\nasync def begin(self, ev: StartEvent) -> "
END = "\n@step\nasync def end(self, ev: A) -> StopEvent: ...\n"

REFUSED = {
    # 1. Workflow
    "too few concurrent runs": Refused(
        "Good(num_concurrent_runs=0)", VALIDATION, "num_concurrent_runs must be an integer greater than 0 or None"
    ),
    "an unknown graph check": Refused(
        "Good(skip_graph_checks={'reachable'}).validate()", VALIDATION, "Unknown graph check names: "
    ),
    "no start": Refused(
        flow("@step\nasync def one(self, ev: A) -> StopEvent: ...", "Flow()"),
        CONFIGURATION,
        "At least one Event of type StartEvent must be received by any step.",
    ),
    "no stop": Refused(
        flow(f"{START}A: ...\n@step\nasync def end(self, ev: A) -> None: ...", "Flow(disable_validation=True)"),
        CONFIGURATION,
        "At least one Event of type StopEvent must be returned by any step.",
    ),
    "two starts": Refused(
        flow(f"{START}A: ...\n@step\nasync def other(self, ev: OtherStart) -> A: ...{END}", "Flow()"),
        CONFIGURATION,
        "Only one type of StartEvent is allowed per workflow, found 2",
    ),
    "two stops": Refused(
        flow(f"{START}A | OtherStop: ...{END}", "Flow()"),
        CONFIGURATION,
        "Only one type of StopEvent is allowed per workflow, found 2",
    ),
    "an undecorated step": Refused(
        "def later(ev: StartEvent) -> None: ...\nGood.add_step(later)",
        VALIDATION,
        "Step function later is missing the `@step` decorator.",
    ),
    "a step of a name that is taken": Refused(
        "@step(workflow=Good)\nasync def one(ev: StartEvent) -> None: ...",
        VALIDATION,
        "A step one is already part of this workflow, please choose another name.",
    ),
    "a list nobody returns": Refused(
        flow(f"{START}A: ...\n@step\nasync def end(self, ev: list[A]) -> StopEvent: ..."),
        VALIDATION,
        "returned-list producer",
    ),
    "a join of two levels": Refused(
        flow(
            f"{START}B: ...\n@step\nasync def split(self, ev: StartEvent) -> list[A]: ...\n"
            "@step\nasync def end(self, one: B, two: A) -> StopEvent: ..."
        ),
        VALIDATION,
        "common stream level",
    ),
    "a step for the stop event": Refused(
        flow(f"{START}StopEvent: ...\n@step\nasync def after(self, ev: StopEvent) -> None: ..."),
        VALIDATION,
        "Step 'after' cannot accept StopEvent.",
    ),
    "what nobody produces": Refused(
        flow(f"{START}StopEvent: ...\n@step\nasync def more(self, ev: A | B) -> StopEvent: ..."),
        VALIDATION,
        "The following events are consumed but never produced: ",
    ),
    "what nobody consumes": Refused(
        flow(f"{START}StopEvent | A: ..."), VALIDATION, "The following events are produced but never consumed: A"
    ),
    "a step that is not reached": Refused(
        flow(f"{START}StopEvent: ...\n@step\nasync def loop(self, ev: A) -> A: ..."),
        VALIDATION,
        "Graph validation failed:\n  - [reachability] Unreachable steps: ",
    ),
    "a dead end": Refused(
        flow(f"{START}StopEvent | A: ...\n@step\nasync def loop(self, ev: A) -> A: ..."),
        VALIDATION,
        "  - [dead_end] Dead-end steps: ",
    ),
    "a config that is not there": Refused(
        flow(
            "@step\nasync def one(self, ev: StartEvent,"
            " c: Annotated[Size, ResourceConfig('none.json')]) -> StopEvent: ..."
        ).replace("class Flow", "class Size(BaseModel):\n    n: int\nclass Flow"),
        VALIDATION,
        "Resource config validation failed:\n  - In step 'one', parameter 'c': No such file: none.json",
    ),
    "factories in a circle": Refused(
        "def a(x: int): ...\ndef b(x: Annotated[int, Resource(a)]): ...\n"
        "a.__annotations__['x'] = Annotated[int, Resource(b)]\n"
        + flow(
            "@step\nasync def one(self, ev: StartEvent, c: Annotated[int, Resource(a)]) -> StopEvent: ...",
            "Flow().validate(validate_resources=True)",
        ),
        VALIDATION,
        "Circular resource dependency detected: a -> b -> a",
    ),
    "a factory that fails": Refused(
        "def fail(): raise KeyError('no')\n"
        + flow(
            "@step\nasync def one(self, ev: StartEvent, c: Annotated[int, Resource(fail)]) -> StopEvent: ...",
            "Flow().validate(validate_resources=True)",
        ),
        VALIDATION,
        "Resource validation failed:\n  - In step 'one', parameter 'c': 'no'",
    ),
    # 2. step
    "a generator": Refused(one_step("self, ev: StartEvent) -> AsyncIterator[A]"), VALIDATION, "Async-iterator fan-out"),
    "a free function without a workflow": Refused(
        "@step\nasync def free(ev: StartEvent) -> StopEvent: ...",
        VALIDATION,
        "To decorate free please pass a workflow class to the @step decorator.",
    ),
    "no workers": Refused(
        one_step("self, ev: StartEvent) -> StopEvent", "@step(num_workers=0)"),
        VALIDATION,
        "num_workers must be an integer greater than 0",
    ),
    "no event": Refused(
        one_step("self, n: int) -> StopEvent"),
        VALIDATION,
        "Step signature must have at least one parameter annotated as type Event",
    ),
    "a union with what is no event": Refused(
        one_step("self, ev: A | int) -> StopEvent"),
        VALIDATION,
        "Step signature must have at least one parameter annotated as type Event",
    ),
    "no return annotation": Refused(
        one_step("self, ev: StartEvent)"),
        VALIDATION,
        "Return types of workflows step functions must be annotated with their type.",
    ),
    "a union in a join": Refused(one_step("self, a: A | B, c: C) -> StopEvent"), VALIDATION, "single event type"),
    "two lists": Refused(one_step("self, a: list[A], b: list[B]) -> StopEvent"), VALIDATION, "at most one list[E]"),
    "a list and an event": Refused(
        one_step("self, a: list[A], b: B) -> StopEvent"), VALIDATION, "cannot be combined with other"
    ),
    "a marker on one event": Refused(
        one_step("self, a: Annotated[A, Collect(All())]) -> StopEvent"), VALIDATION, "only to collection fan-in"
    ),
    "a marker of another kind": Refused(
        one_step("self, a: Annotated[list[A], Collect('all')]) -> StopEvent"), VALIDATION, "All() or Take(n)"
    ),
    "an annotation of nothing": Refused(
        one_step("self, ev: 'Nowhere') -> StopEvent"), VALIDATION, "Failed to resolve type annotations"
    ),
    # 8. catch_error
    "a handler of no failure": Refused(
        one_step("self, ev: A) -> StopEvent", "@catch_error"), VALIDATION, "must accept StepFailedEvent"
    ),
    "a handler without recoveries": Refused(
        one_step("self, ev: StepFailedEvent) -> StopEvent", "@catch_error(max_recoveries=0)"),
        VALIDATION,
        "max_recoveries",
    ),
    "two handlers for all": Refused(
        flow(
            f"{START}StopEvent: ...\n@catch_error\nasync def x(self, ev: StepFailedEvent) -> StopEvent: ...\n"
            "@catch_error\nasync def y(self, ev: StepFailedEvent) -> StopEvent: ..."
        ),
        VALIDATION,
        "Only one wildcard @catch_error handler",
    ),
    "a handler for nobody": Refused(
        flow(
            f"{START}StopEvent: ...\n"
            "@catch_error(for_steps=['nobody'])\nasync def x(self, ev: StepFailedEvent) -> StopEvent: ..."
        ),
        VALIDATION,
        "unknown step",
    ),
    "a handler for a handler": Refused(
        flow(
            f"{START}StopEvent: ...\n@catch_error\nasync def x(self, ev: StepFailedEvent) -> StopEvent: ...\n"
            "@catch_error(for_steps=['x'])\nasync def y(self, ev: StepFailedEvent) -> StopEvent: ..."
        ),
        VALIDATION,
        "cannot cover another handler step",
    ),
    "two handlers for one": Refused(
        flow(
            f"{START}StopEvent: ...\n"
            "@catch_error(for_steps=['begin'])\nasync def x(self, ev: StepFailedEvent) -> StopEvent: ...\n"
            "@catch_error(for_steps=['begin'])\nasync def y(self, ev: StepFailedEvent) -> StopEvent: ..."
        ),
        VALIDATION,
        "claimed by two @catch_error handlers",
    ),
    # 7., 9. and 10.
    "a condition on no message": Refused("retry_if_exception_message()", "TypeError", "'message' or 'match'"),
    "a condition on two messages": Refused("retry_if_exception_message('a', 'b')", "TypeError", "not both"),
    "a chain of no waits": Refused("wait_chain()", "ValueError", ""),
    "a config of another kind": Refused("ResourceConfig('a.yaml')", "ValueError", ""),
    "to take none": Refused("Take(0)", "ValueError", ""),
    # 3. and 6.
    "an attribute that is not there": Refused("A().x", "AttributeError", "'A' object has no attribute 'x'"),
}


def raised(root: str, source: str) -> tuple[str, str]:
    """Class and text of what the source raises; names of modules are those of the original."""
    names: dict[str, Any] = {"__name__": "definitions"}
    for module in MODULES:
        names |= {k: v for k, v in vars(importlib.import_module(root + module)).items() if not k.startswith("_")}
        if module == "":
            names |= {
                k: getattr(importlib.import_module(root), k) for k in ("Workflow", "step", "catch_error", "Context")
            }
    exec(NAMES, names)
    try:
        exec(source, names)
    except Exception as error:
        return type(error).__name__, str(error).replace("broker_wf", "workflows")
    return "nothing", ""


@pytest.mark.parametrize("root", ["broker_wf", "workflows"])
@pytest.mark.parametrize("name", list(REFUSED))
def test_it_is_refused_in_the_words_that_api_md_names(name: str, root: str) -> None:
    case = REFUSED[name]
    error, text = raised(root, case.source)
    assert error == case.error
    assert case.says in text

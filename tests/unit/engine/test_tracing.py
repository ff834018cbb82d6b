from __future__ import annotations

import inspect
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from broker_wf.core.ids import RunId
from broker_wf.engine import tracing
from broker_wf.engine.tracing import Span, StepTrace


class Odd:
    def __str__(self) -> str:
        return "odd"


def test_of_what_a_handler_captured_travels_what_can_and_the_text_of_the_rest() -> None:
    captured = {"a": 1, 2: (None, 1.5, [True, "x"]), "odd": {"deep": Odd()}}
    assert tracing._plain(captured) == {"a": 1, "2": [None, 1.5, [True, "x"]], "odd": {"deep": "odd"}}


def test_a_step_that_is_called_with_nothing_has_no_input_among_its_tags() -> None:
    assert tracing._tags(StepTrace(run_id=RunId("r"), given=None, carried=None)) == {"llamaindex.run_id": "r"}


def test_a_run_that_carries_nothing_leaves_the_spans_of_the_worker_out() -> None:
    active: ContextVar[Any] = ContextVar("active")
    active.set("the worker's")
    tracer: Any = SimpleNamespace(active_tags=active, active_span=active)
    tracing._restore(tracer, None)
    assert active.get() is None


def test_a_span_that_was_never_active_has_nothing_to_take_back() -> None:
    tracer: Any = None
    Span(tracer=tracer, name="n", bound=inspect.signature(dict.fromkeys).bind(()), tags={}).deactivate()

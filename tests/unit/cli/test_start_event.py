from __future__ import annotations

import io
import sys

import click
import pytest

from broker_wf import Workflow, step
from broker_wf.cli.failures import USAGE, CommandError
from broker_wf.cli.run import _fields, _start_event
from broker_wf.events import StartEvent, StopEvent


class Named(StartEvent):
    name: str
    count: int = 1


class Greet(Workflow):
    @step
    async def greet(self, ev: Named) -> StopEvent:
        return StopEvent()


class Loose(Workflow):
    @step
    async def go(self, ev: StartEvent) -> StopEvent:
        return StopEvent()


def test_a_value_that_is_json_is_taken_as_that() -> None:
    given = _fields(["a=1", "b=[1, 2]", "c=text", "d=null", 'e="5"', "f=x=y", "g="], None)
    assert given.values == {"a": 1, "b": [1, 2], "c": "text", "d": None, "e": "5", "f": "x=y", "g": ""}


def test_a_json_object_and_single_fields_go_together() -> None:
    assert _fields(["b=2"], '{"a": 1, "b": 1}').values == {"a": 1, "b": 2}


def test_a_dash_reads_the_object_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": 1}'))
    assert _fields([], "-").values == {"a": 1}


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [(["novalue"], None, "KEY=VALUE"), (["=1"], None, "KEY=VALUE"), ([], "[1]", "object"), ([], "{", "not JSON")],
)
def test_what_has_another_form_is_refused(words: list[str], text: str | None, told: str) -> None:
    with pytest.raises(click.UsageError, match=told):
        _fields(words, text)


def test_where_a_field_wants_text_a_number_on_the_command_line_is_text() -> None:
    event = _start_event(Greet(), _fields(["name=5", "count=2"], None))
    assert event == Named(name="5", count=2)


def test_fields_no_class_declares_are_taken_too() -> None:
    event = _start_event(Loose(), _fields(["ctx=1", "start_event=2"], None))
    assert event.to_dict() == {"ctx": 1, "start_event": 2}


def test_fields_that_do_not_fit_are_all_told() -> None:
    with pytest.raises(CommandError) as raised:
        _start_event(Greet(), _fields(["count=many"], None))
    (failure,) = raised.value.failures
    assert failure.code == USAGE
    assert "name: Field required" in failure.why
    assert "count: " in failure.why
    assert failure.mend == "Its fields are: name, count."


def test_a_json_number_where_text_is_wanted_is_told() -> None:
    with pytest.raises(CommandError, match="no start event Named"):
        _start_event(Greet(), _fields([], '{"name": 5}'))

from __future__ import annotations

import pytest

from broker_wf.engine.summary import summarize
from broker_wf.events import Event, StopEvent


class Item(Event):
    value: object


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("not to be printed")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Item(value="short"), "Item(value='short')"),
        (Item(value=[1, 2]), "Item(value=[1, 2])"),
        (Item(value=[1, 2, 3, 4]), "Item(value=[4 items])"),
        (Item(value=dict.fromkeys("abcd")), "Item(value={4 keys})"),
        (StopEvent(result=3), "StopEvent(result=3)"),
        (Event(extra=1), "Event(extra=1)"),
    ],
)
def test_an_event_is_one_line(event: Event, line: str) -> None:
    assert summarize(event) == line


def test_long_texts_and_long_lines_are_cut() -> None:
    assert summarize(Item(value="x" * 60)) == f"Item(value='{'x' * 50}...')"
    many = summarize(Event(**{f"field_{n}": "x" * 40 for n in range(9)}))
    assert len(many) == 200
    assert many.endswith("...")


def test_values_that_cannot_be_printed_leave_the_name() -> None:
    assert summarize(Item(value=Unprintable())) == "Item"

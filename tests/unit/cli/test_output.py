from __future__ import annotations

import io
import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel

from broker_wf.cli import output
from broker_wf.events import StopEvent


class Bill(StopEvent):
    total: float


class Item(BaseModel):
    name: str


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        (datetime(2024, 2, 29, tzinfo=timezone.utc), "2024-02-29T00:00:00Z"),
        (float("inf"), "inf"),
        (b"text", "text"),
        ("\ud800", "\ud800"),
        (Item(name="a"), {"name": "a"}),
        (Bill(total=2.5), {"total": 2.5}),
        (b"\xff", "_w=="),
    ],
)
def test_what_json_has_no_form_for_is_written_as_pydantic_does(value: object, shown: object) -> None:
    found = output.jsonable(value)
    json.dumps(found, allow_nan=False)
    assert found == shown


def test_what_pydantic_does_not_know_is_shown_by_its_repr() -> None:
    assert output.jsonable([object]) == [repr(object)]


def test_for_programs_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"name": "Zo\u00eb\u2028"})
    assert capsys.readouterr().out == '{"name": "Zo\\u00eb\\u2028"}\n'


def test_for_people_json_is_indented_and_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = Terminal(raw, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    output.print_json({"name": "Zo\u00eb"})
    assert raw.getvalue().decode() == '{\n  "name": "Zo\u00eb"\n}\n'


def test_what_the_terminal_cannot_show_does_not_stop_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", Terminal(raw, encoding="ascii", write_through=True))
    output.tell("Zo\u00eb \ud800")
    assert raw.getvalue() == b"Zo\\xeb \\ud800\n"


def test_a_table_for_programs_has_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("name", "count"), [("a", "1"), ("longer", "22")])
    assert capsys.readouterr().out == "name    count\na       1\nlonger  22\n"


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("name", "count"), [])
    assert capsys.readouterr().out == "name  count\n"


def test_on_a_terminal_rich_draws_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(raw, encoding="utf-8", write_through=True))
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_table(("name",), [("[odd]",)])
    assert "[odd]" in raw.getvalue().decode()


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (None, "-"),
        (0, "0ms"),
        (-5, "0ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (90_000, "2m"),
        (7_200_000, "2h"),
        (172_800_000, "2d"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(ms: Any, shown: str) -> None:
    assert output.span_ms(ms) == shown


def test_a_moment_is_told_by_its_age() -> None:
    assert output.age(None) == "-"
    assert output.age(datetime.now(timezone.utc) - timedelta(seconds=30)).endswith("s ago")


@pytest.mark.parametrize(
    ("count", "shown"), [(5, "5 B"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (1 << 30, "1.0 GiB")]
)
def test_a_size_is_told_in_its_largest_unit(count: int, shown: str) -> None:
    assert output.size(count) == shown

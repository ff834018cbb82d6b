"""Spans as OpenTelemetry exports them, through LlamaIndex's own handlers, from a driver and two worker processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.console import ROOT, Console, lines, until

APP = "tests.apps.exported"
EXECUTED = 2 * (1 + 6 * 4 + 1)
"""Spans of two runs of Parent but their own: split, six branches of work, mine, the child's run and its step, join."""


def exported(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(file)]


def drive(console: Console, spans: Path) -> int:
    """Begin the runs of the app in a process of their own; its id."""
    command = [sys.executable, "-m", APP]
    with subprocess.Popen(command, cwd=ROOT, env=console.environment(SPANS=str(spans), PYTHONPATH=str(ROOT))) as driver:
        assert driver.wait(60) == 0
    return driver.pid


@pytest.fixture(params=["in_process", "two_processes"])
def traced(request: pytest.FixtureRequest, console: Console, tmp_path: Path) -> tuple[list[dict[str, Any]], int, bool]:
    """All spans, the process that began the runs, and whether workers executed them."""
    spans, apart = tmp_path / "spans", request.param == "two_processes"
    if apart:
        console.worker(f"{APP}:workflows", "--processes", "2", "--concurrency", "3", count=2, SPANS=str(spans))
    else:
        console.url = ""
    driver = drive(console, spans)
    until(lambda: len(lines(spans)) >= EXECUTED + 1 + 2 + 2 + 3)
    return exported(spans), driver, apart


def test_spans_of_a_run_nest_over_processes_in_one_trace(traced: tuple[list[dict[str, Any]], int, bool]) -> None:
    spans, driver, apart = traced
    known = {one["id"]: one for one in spans}

    def above(span: dict[str, Any]) -> list[str]:
        names: list[str] = []
        while span["parent"] is not None:
            span = known[span["parent"]]
            names.append(span["name"])
        return names

    nested = Counter((one["name"], *above(one)) for one in spans)
    work = ("Parent.work", "Parent.run", "caller")
    assert nested == {
        ("caller",): 1,
        ("Parent.run", "caller"): 2,
        ("Parent.split", "Parent.run", "caller"): 2,
        work: 12,
        ("mine", *work): 12,
        ("Child.run", "mine", *work): 12,
        ("Child.inner", "Child.run", "mine", *work): 12,
        ("Parent.join", "Parent.run", "caller"): 2,
        ("Failing.run",): 1,
        ("Failing.fail", "Failing.run"): 1,
        ("Asking.run",): 1,
        ("Asking.ask", "Asking.run"): 2,
    }
    traces = {root["trace"]: root["name"] for root in spans if root["parent"] is None}
    assert sorted(traces.values()) == ["Asking.run", "Failing.run", "caller"]
    assert all(one["trace"] == known.get(one["parent"], one)["trace"] for one in spans)

    executing = {one["pid"] for one in spans if one["name"] == "Parent.work"}
    assert len(executing) == (2 if apart else 1)
    assert (driver in executing) is not apart
    assert {one["pid"] for one in spans if one["name"] in ("Parent.run", "Failing.run")} == {driver}


def test_spans_carry_tags_events_and_failures(traced: tuple[list[dict[str, Any]], int, bool]) -> None:
    spans, *_ = traced
    named = {one["name"]: one for one in spans}
    assert named["Parent.run"]["attributes"]["llamaindex.start_event"] == "StartEvent()"
    work = [one for one in spans if one["name"] == "Parent.work"]
    assert {one["attributes"]["llamaindex.customer"] for one in work} == {"c1"}
    assert {one["attributes"]["llamaindex.step.input_event"] for one in work} == {"Item"}
    ran = {one["attributes"]["llamaindex.run_id"] for one in spans if one["name"] == "Parent.run"}
    assert {one["attributes"]["llamaindex.run_id"] for one in work} == ran
    assert len(ran) == 2
    assert named["Parent.split"]["events"] == []
    assert named["Parent.work"]["events"] == ["step.output"]
    assert named["Parent.run"]["events"] == ["workflow.output"]
    assert "customer" not in str(named["Failing.run"]["attributes"])
    for name in ("Failing.run", "Failing.fail"):
        assert named[name]["status"] == "ERROR"
        assert named[name]["events"] == ["SpanDropEvent", "exception"]
    assert {one["status"] for one in spans if not one["name"].startswith(("Failing", "caller", "mine"))} == {"OK"}

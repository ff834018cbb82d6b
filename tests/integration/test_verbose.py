"""What ``verbose=True`` says."""

from __future__ import annotations

import logging

import pytest

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from tests.integration.stage import Stage, within


class Item(Event):
    n: int


class Talking(Workflow):
    @step
    async def first(self, ctx: Context, ev: StartEvent) -> Item | None:
        ctx.write_event_to_stream(Item(n=9))
        return Item(n=2)

    @step
    async def second(self, ctx: Context, ev: Item) -> StopEvent | None:
        if ev.n == 2:
            ctx.send_event(Item(n=3), step="second")
            return None
        return StopEvent(result="done")


SAID = [
    "[first:0] started from StartEvent",
    "[tick] publish: Item(n=9)",
    "[first:0] complete with Item",
    "[tick] add: Item(n=2)",
    "[second:0] started from Item",
    "[tick] add: Item(n=3) -> second",
    "[second:0] complete with no result",
    "[second:0] started from Item",
    "[result] StopEvent(result='done')",
    "[second:0] complete with StopEvent",
]


async def test_verbose_prints_what_each_step_does(alone: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await within((await alone.put_on(Talking, verbose=True)).run(topic="x" * 60))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"[tick] add: StartEvent(topic='{'x' * 50}...')"
    # Two steps may overlap: a step that has sent an event goes on while that is taken.
    assert sorted(lines[1:]) == sorted(SAID)


async def test_verbose_is_logged_where_its_logger_listens(cluster: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="broker_wf.verbose"):
        await within((await cluster.put_on(Talking, verbose=True)).run())
    said = [one.getMessage() for one in caplog.records if one.name == "broker_wf.verbose"]
    assert said[0] == SAID[0]
    assert sorted(one.replace(":1]", ":0]") for one in said) == sorted(SAID)


async def test_without_verbose_nothing_is_said(alone: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await within((await alone.put_on(Talking)).run())
    assert capsys.readouterr().out == ""

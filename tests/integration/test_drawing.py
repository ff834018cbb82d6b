"""API.md section 11: the drawing of a run, from what the server keeps of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from broker_wf import Context, Workflow, catch_error, step
from broker_wf.errors import RunNotFoundError, WorkflowRuntimeError
from broker_wf.events import Event, StartEvent, StepFailedEvent, StopEvent
from broker_wf.representation import draw_most_recent_execution, draw_most_recent_execution_mermaid
from tests.integration.stage import Stage, within


class Part(Event):
    n: int


class Done(Event):
    n: int


class Note(Event):
    text: str = "<b>"


class Sent(Event):
    pass


class Fans(Workflow):
    @step
    async def split(self, ctx: Context, ev: StartEvent) -> list[Part]:
        ctx.write_event_to_stream(Note())
        return [Part(n=1), Part(n=2)]

    @step
    async def work(self, ev: Part) -> Done:
        return Done(n=ev.n)

    @step
    async def gather(self, ctx: Context, ev: list[Done]) -> Sent | None:
        ctx.send_event(Sent())

    @step
    async def finish(self, ev: Sent) -> StopEvent:
        return StopEvent(result="drawn")


class Breaks(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise ValueError("as ordered")


class Mends(Breaks):
    @catch_error
    async def mend(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent(result="mended")


class Laps(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> Part:
        return Part(n=29)

    @step
    async def lap(self, ev: Part) -> Part | StopEvent:
        return Part(n=ev.n - 1) if ev.n else StopEvent()


class Hangs(Workflow):
    @step
    async def hang(self, ctx: Context, ev: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Note())
        await asyncio.Event().wait()
        return StopEvent()


def flow_of(text: str) -> list[tuple[str, str]]:
    """The arrows between labels."""
    labels: dict[str, str] = {}
    arrows = []
    for line in map(str.strip, text.splitlines()):
        if ":::" in line:
            labels[line.split("[")[0].split("(")[0]] = line.split('"')[1].replace("#35;", "#")
        elif " --> " in line:
            arrows.append(tuple(labels[end] for end in line.split(" --> ")))
    return sorted(arrows)


async def test_a_run_is_drawn_with_each_execution_and_what_came_of_it(stage: Stage) -> None:
    handler = (await stage.put_on(Fans)).run()
    assert await within(handler) == "drawn"
    assert flow_of(draw_most_recent_execution_mermaid(handler, "")) == sorted(
        [
            ("external_step", "StartEvent"),
            ("StartEvent", "split#1"),
            ("split#1", "Part"),
            ("split#1", "Part"),
            ("Part", "work#1"),
            ("Part", "work#2"),
            ("work#1", "list[Done]"),
            ("work#2", "list[Done]"),
            ("list[Done]", "gather#1"),
            ("gather#1", "Sent"),
            ("Sent", "finish#1"),
            ("finish#1", "StopEvent"),
            ("split#1", "published: Note"),
        ]
    )


async def test_the_page_of_a_run_says_how_each_execution_went(alone: Stage, tmp_path: Path) -> None:
    handler = alone.flow(Fans).run()
    await within(handler)
    draw_most_recent_execution(handler, str(tmp_path / "run.html"))
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "state: ok" in page
    assert "attempt: 1" in page
    assert f"{handler.run_id}: completed" in page


async def test_a_failed_execution_leads_to_the_failure_of_its_run(alone: Stage) -> None:
    handler = alone.flow(Breaks).run()
    with pytest.raises(ValueError, match="as ordered"):
        await within(handler)
    text = draw_most_recent_execution_mermaid(handler, "")
    assert ("fail#1", "WorkflowFailedEvent") in flow_of(text)
    assert '"fail#35;1"]:::failedStepStyle' in text


async def test_a_handler_is_drawn_behind_the_failure_it_took(alone: Stage) -> None:
    handler = alone.flow(Mends).run()
    assert await within(handler) == "mended"
    assert flow_of(draw_most_recent_execution_mermaid(handler, ""))[-3:] == [
        ("external_step", "StartEvent"),
        ("fail#1", "StepFailedEvent"),
        ("mend#1", "StopEvent"),
    ]


async def test_a_long_lineage_is_drawn_as_one_chain(alone: Stage) -> None:
    handler = alone.flow(Laps).run()
    await within(handler)
    arrows = flow_of(draw_most_recent_execution_mermaid(handler, ""))
    assert len([one for one in arrows if one[1] == "Part"]) == 30
    assert len([one for one in arrows if one[0] == "external_step"]) == 1


async def test_a_run_that_goes_on_is_drawn_as_far_as_it_has_come(stage: Stage) -> None:
    handler = (await stage.put_on(Hangs)).run()
    async for _ in handler.stream_events():
        break
    text = draw_most_recent_execution_mermaid(handler, "")
    assert '"hang#35;1"]:::openStepStyle' in text
    assert "StopEvent" not in text
    await handler.cancel_run()


async def test_a_run_is_drawn_by_its_id_from_another_process(cluster: Stage, tmp_path: Path) -> None:
    handler = (await cluster.put_on(Fans)).run()
    await within(handler)
    file = tmp_path / "run.mermaid"
    code = (
        "import sys; from broker_wf import configure; from broker_wf.representation import "
        "draw_most_recent_execution_mermaid as draw; configure(url=sys.argv[1], namespace=sys.argv[2]); "
        "draw(sys.argv[3], sys.argv[4])"
    )
    settings = cluster.settings
    arguments = (settings.full_url, settings.namespace, handler.run_id, str(file))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments)
    assert await within(process.wait()) == 0
    assert file.read_text(encoding="utf-8") == draw_most_recent_execution_mermaid(handler, "")


async def test_an_unknown_run_is_not_drawn(alone: Stage) -> None:
    handler = alone.flow(Breaks).run()
    with pytest.raises(ValueError, match="as ordered"):
        await within(handler)
    with pytest.raises(RunNotFoundError):
        draw_most_recent_execution("nobody", "", broker=alone.settings)


async def test_a_handler_whose_run_is_not_submitted_yet_cannot_be_drawn_but_shown(alone: Stage) -> None:
    handler = alone.flow(Hangs).run()
    with pytest.raises(WorkflowRuntimeError, match="not been submitted yet"):
        draw_most_recent_execution(handler, "")
    assert handler._repr_mimebundle_() == {"text/plain": str(handler)}
    assert handler._repr_html_() is None
    async for _ in handler.stream_events():
        break
    await handler.cancel_run()


async def test_a_notebook_shows_a_handler_as_the_course_of_its_run(alone: Stage) -> None:
    handler = alone.flow(Fans).run()
    await within(handler)
    assert "gather#1" in handler._repr_mimebundle_()["image/svg+xml"]
    assert "gather#1" in (handler._repr_html_() or "")

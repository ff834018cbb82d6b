"""The app that is served: in parallel over modules, asking a person about what is none."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.served.app import Decision, Found, ModuleReport, Modules, Unknown, look_at
from broker_wf.events import Event
from tests.integration.stage import Stage, within


async def answered(stage: Stage, names: list[str], *, leave_out: bool) -> tuple[list[Event], list[str]]:
    """The events of a run whose questions get this answer, and the lines of its report."""
    handler = (await stage.put_on(ModuleReport)).run(start_event=Modules(names=names))
    seen: list[Event] = []
    async for event in handler.stream_events():
        seen.append(event)
        if isinstance(event, Unknown):
            handler.ctx.send_event(Decision(leave_out=leave_out))
    return seen, (await within(handler)).lines


async def test_the_largest_module_comes_first_and_each_is_read_once(stage: Stage) -> None:
    seen, lines = await answered(stage, ["json", "heapq", "json"], leave_out=True)
    assert [line.partition(":")[0] for line in lines] == ["heapq", "json"]
    assert "Heap queue algorithm" in lines[0]
    assert not any(isinstance(event, Unknown) for event in seen)


async def test_a_person_decides_about_names_that_are_no_modules(stage: Stage) -> None:
    seen, lines = await answered(stage, ["textwrap", "nope", "none_such"], leave_out=True)
    assert [event.names for event in seen if isinstance(event, Unknown)] == [["none_such", "nope"]]
    assert len(lines) == 1


async def test_the_run_fails_where_nothing_may_be_left_out(stage: Stage) -> None:
    with pytest.raises(LookupError, match="nope"):
        await answered(stage, ["textwrap", "nope"], leave_out=False)


@pytest.mark.parametrize("name", ["nope", "json.nope", "json..x", "os.nope.more", ""])
def test_what_is_no_module_says_nothing(name: str) -> None:
    assert look_at(name) == Found(name=name)


def test_a_module_without_a_source_is_told_as_one() -> None:
    assert look_at("_thread").summary == "a module written in C"


@pytest.fixture
def collecting() -> Iterator[None]:
    """Python code runs at each garbage collection, and lets other threads run, as some libraries have it."""

    def let_others_run(*_: object) -> None:
        time.sleep(0)

    gc.callbacks.append(let_others_run)
    yield
    gc.callbacks.remove(let_others_run)


@pytest.mark.usefixtures("collecting")
def test_modules_may_be_looked_at_by_many_threads_at_once() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(look_at, ["json", "heapq", "textwrap", "bisect"] * 50))
    assert {one.name for one in found if one.summary} == {"json", "heapq", "textwrap", "bisect"}

"""Many runs of one workflow, as a script of a user submits them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import broker_wf
from broker_wf import Workflow, run_many, step
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.events import StartEvent, StopEvent
from tests.integration.probe import probe
from tests.integration.stage import Stage, until, within


class Numbered(StartEvent):
    name: str
    n: int
    waits_for: int = 0
    """How many others' steps must have ended before."""
    waits_for_outcomes: int = 0
    """How many outcomes of others must have come before."""


class Counting(Workflow):
    @step
    async def work(self, ev: Numbered) -> StopEvent:
        with probe.inside(ev.name):
            await until(lambda: probe.count(ev.name, "ended") >= ev.waits_for)
            await until(lambda: probe.count(ev.name, "came") >= ev.waits_for_outcomes)
            if ev.n == 13:
                raise LookupError("thirteen")
        probe.mark(ev.name, "ended")
        return StopEvent(result=ev.n)


async def all_of(outcomes: Any) -> list[Any]:
    return [one async for one in outcomes]


async def test_every_input_becomes_one_run_and_no_more_are_in_flight_than_allowed(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    inputs = ({"name": name, "n": n} for n in range(12))
    outcomes = await within(all_of(run_many(flow, inputs, in_flight=3)))
    assert sorted((one.index, one.result) for one in outcomes) == [(n, n) for n in range(12)]
    assert probe.most(name) <= 3


async def test_outcomes_come_as_runs_end(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    inputs = [Numbered(name=name, n=n, waits_for_outcomes=others) for n, others in ((0, 2), (1, 0), (2, 1))]
    results: list[object] = []

    async def take() -> None:
        async for one in run_many(flow, inputs):
            results.append(one.result)
            probe.mark(name, "came")

    await within(take())
    assert results == [1, 2, 0]


async def test_outcomes_may_come_in_the_order_of_their_inputs(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    inputs = [Numbered(name=name, n=0, waits_for=2), Numbered(name=name, n=1), Numbered(name=name, n=2)]
    assert [one.result for one in await within(all_of(run_many(flow, inputs, ordered=True)))] == [0, 1, 2]


async def test_a_run_that_fails_is_an_outcome_among_others(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    inputs = [{"name": name, "n": n} for n in (12, 13, 14)]
    before, failed, after = await within(all_of(run_many(flow, inputs, ordered=True)))
    assert (before.result, after.result, failed.result) == (12, 14, None)
    assert isinstance(failed.error, LookupError)


async def test_inputs_may_come_one_by_one_with_ids_of_ones_own(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace

    async def inputs() -> AsyncIterator[dict[str, Any]]:
        for n in range(3):
            yield {"name": name, "n": n, "run_id": f"{name}-{n}"}

    outcomes = await within(all_of(run_many(flow, inputs(), ordered=True)))
    assert [one.handler.run_id for one in outcomes] == [f"{name}-{n}" for n in range(3)]


async def test_inputs_are_taken_as_places_become_free_and_no_more_after_the_loop_was_left(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    taken: list[int] = []

    def inputs() -> Iterator[dict[str, Any]]:
        for n in range(1_000_000):
            taken.append(n)
            yield {"name": name, "n": n}

    outcomes = run_many(flow, inputs(), in_flight=2)
    first = await within(outcomes.__anext__())
    await outcomes.aclose()
    assert first.index in (0, 1)
    assert taken == [0, 1]


async def test_nothing_to_do_is_done_at_once(stage: Stage) -> None:
    flow = await stage.put_on(Counting)
    assert await within(all_of(run_many(flow, []))) == []


async def test_an_input_that_makes_no_start_event_is_told_where_it_is_taken(alone: Stage) -> None:
    flow, name = await alone.put_on(Counting), alone.settings.namespace
    with pytest.raises(WorkflowRuntimeError, match="Failed creating a start event of type 'Numbered'"):
        await within(all_of(run_many(flow, [{"name": name}])))


@pytest.mark.parametrize("in_flight", [0, -1])
async def test_less_than_one_run_in_flight_is_refused(alone: Stage, in_flight: int) -> None:
    with pytest.raises(ValueError, match=f"in_flight is {in_flight}; it must be at least 1"):
        await within(all_of(run_many(alone.flow(Counting), [], in_flight=in_flight)))


async def test_map_gives_results_in_the_order_of_the_inputs(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    inputs = [Numbered(name=name, n=0, waits_for=2), Numbered(name=name, n=1), Numbered(name=name, n=2)]
    assert await within(all_of(broker_wf.map(flow, inputs, in_flight=3))) == [0, 1, 2]


async def test_map_ends_with_the_error_of_the_first_run_that_failed(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    results: list[object] = []

    async def take() -> None:
        async for result in broker_wf.map(flow, [Numbered(name=name, n=n) for n in (11, 12, 13, 14)], in_flight=1):
            results.append(result)

    with pytest.raises(LookupError, match="thirteen"):
        await within(take())
    assert results == [11, 12]


async def test_a_script_that_is_started_again_attaches_to_what_it_has_begun(stage: Stage) -> None:
    flow, name = await stage.put_on(Counting), stage.settings.namespace
    inputs = [{"name": name, "n": n} for n in range(4)]
    first = run_many(flow, inputs[:2], id_prefix="night", ordered=True)
    assert [one.handler.run_id for one in await within(all_of(first))] == ["night-0", "night-1"]
    again = await within(
        all_of(broker_wf.map(flow, [*inputs, {"name": name, "n": 4, "run_id": "mine"}], id_prefix="night"))
    )
    assert again == [0, 1, 2, 3, 4]
    assert probe.count(name, "ended") == 5, "two of them were not executed again"
    assert await within(flow.attach("mine").stop_event_result())

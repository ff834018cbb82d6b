"""What is special about workflows of llama-index-workflows, on this engine."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from workflows import Context
from workflows import Workflow as TheirWorkflow
from workflows.errors import WorkflowCancelledByUser, WorkflowTimeoutError
from workflows.events import StopEvent

from broker_wf.context import Context as OurContext
from broker_wf.errors import EncodeError
from broker_wf.integrations.llama_index import DistributedWorkflow, distribute
from tests.apps.originals import Fails, InPlace, Keeps, Notes, Open, Replaced
from tests.apps.values import Behind
from tests.conformance.scenarios.basic import JokeFlow, NeverEnds
from tests.conformance.scenarios.human import Answered, Asked, ByWaiting
from tests.integration.console import Console
from tests.integration.stage import Stage, WorkerThread, within


async def put_on(stage: Stage, cls: type[TheirWorkflow], **options: Any) -> DistributedWorkflow:
    """A distributed workflow on the stage, and who executes it."""

    def make() -> DistributedWorkflow:
        return distribute(cls(timeout=20), broker=stage.settings, **options)

    if not stage.in_process:
        for _ in range(2):
            stage.workers.append(await WorkerThread(stage.settings, lambda: [make()]).begin())
    return make()


async def test_what_a_step_changes_in_place_is_in_the_state_when_it_has_returned(stage: Stage) -> None:
    handler = (await put_on(stage, InPlace)).run()
    await within(handler)
    assert (await handler.ctx.store.get("notes")).lines == ["begun", "ended"]
    assert await handler.ctx.store.get("tree") == {"leaf": [1, 2]}


async def test_a_field_that_is_not_to_be_written_does_not_travel(stage: Stage) -> None:
    assert await within((await put_on(stage, InPlace)).run()) == "default"


async def test_what_a_failed_step_changed_in_place_is_not_in_the_state(stage: Stage) -> None:
    flow = await put_on(stage, Fails)
    ctx = Context(flow)
    await ctx.store.set("notes", Notes(lines=["kept"]))
    with pytest.raises(ValueError, match="no"):
        await within(flow.run(ctx=ctx))
    assert (await ctx.store.get("notes")).lines == ["kept"]


async def test_what_is_set_wins_over_what_was_changed_in_place(stage: Stage) -> None:
    assert await within((await put_on(stage, Replaced)).run()) == [9, 10]


async def test_a_state_of_theirs_keeps_undeclared_values_beside_its_fields(stage: Stage) -> None:
    assert await within((await put_on(stage, Keeps)).run()) == [2, {"first": "Ada"}, 2]


async def test_a_class_behind_any_travels_once_it_is_named(stage: Stage) -> None:
    assert await within((await put_on(stage, Open, types=[Behind])).run()) == Behind(text="there")


async def test_a_class_behind_any_that_nobody_named_fails_the_step(cluster: Stage) -> None:
    with pytest.raises(EncodeError, match="Behind"):
        await within((await put_on(cluster, Open)).run())


async def test_a_run_is_followed_by_its_id_in_their_events(stage: Stage) -> None:
    flow = await put_on(stage, JokeFlow)
    await within(flow.run(topic="tea", run_id="joke"))
    found = flow.attach("joke")
    assert [type(one) async for one in found.stream_events()] == [StopEvent]
    assert await within(found) == "a joke about tea: funny"
    assert (found.run_id, found.is_done(), found.get_stop_event().result) == ("joke", True, "a joke about tea: funny")


async def test_their_errors_tell_how_a_run_ended(stage: Stage) -> None:
    flow = await put_on(stage, NeverEnds)
    handler = flow.run()
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await within(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert (handler.done(), type(handler.exception())) == (True, WorkflowCancelledByUser)
    hasty = distribute(NeverEnds(timeout=0.1), broker=stage.settings)
    with pytest.raises(WorkflowTimeoutError, match=r"timed out after 0\.1 seconds"):
        await within(hasty.run())


def test_the_command_line_runs_them_as_ours(server_url: str, namespace: str, tmp_path: Any) -> None:
    console = Console(server_url, namespace, tmp_path)
    try:
        ended = console.run("run", "tests.apps.originals:in_place", "--run-id", "one")
        assert (ended.code, json.loads(ended.out)) == (0, "default")
        assert console.status_of("one") == "completed"
    finally:
        console.close()


async def test_a_run_is_written_down_and_goes_on_under_another_id(stage: Stage) -> None:
    flow = await put_on(stage, ByWaiting)
    handler = flow.run(user="ada")
    async for event in handler.stream_events():
        if isinstance(event, Asked):
            break
    await handler.cancel_run()
    saved = json.loads(json.dumps(handler.ctx.to_dict()))
    again = flow.run(ctx=OurContext.from_dict(flow, saved))
    await again.send_event(Answered(answer="Ada", user="ada"))
    assert await within(again) == "hello, Ada"


async def test_a_state_of_theirs_is_written_down_and_read_again(stage: Stage) -> None:
    flow = await put_on(stage, InPlace)
    handler = flow.run()
    await within(handler)
    again: OurContext[Any] = OurContext.from_dict(flow, json.loads(json.dumps(handler.ctx.to_dict())))
    assert await again.store.get("notes") == Notes(lines=["begun", "ended"])

"""The clients, over HTTP and straight to Redis: the same tests, and no code of a workflow in sight."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import pytest_asyncio

from broker_wf.client import AsyncClient, AsyncRun, Client, RequestRefusedError, RunOptions, WorkflowNotFoundError
from broker_wf.client.blocking import Run
from broker_wf.errors import (
    AmbiguousRunIdError,
    BrokerError,
    NothingToRerunError,
    RemoteError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    RunOptionError,
    ServerUnreachableError,
    WorkflowCancelledByUser,
    WorkflowTimeoutError,
)
from broker_wf.server import ServerOptions
from tests.apps.answering import Asking, Failing, Greeted, Greeting, Hello, Plain, Reply, Telling
from tests.integration.server.serving import HttpServer
from tests.integration.stage import Stage, within

FLOWS = {"greeting": Greeting, "plain": Plain, "asking": Asking, "failing": Failing, "telling": Telling}
TOKEN = "only-for-you"


@dataclass
class Scene:
    """A way to a namespace, and the namespace."""

    kind: str
    url: str
    stage: Stage
    client: AsyncClient

    @property
    def where(self) -> dict[str, Any]:
        return {"token": TOKEN} if self.kind == "http" else {"namespace": self.stage.settings.namespace}


@pytest_asyncio.fixture(params=["http", "redis"])
async def scene(request: pytest.FixtureRequest, cluster: Stage) -> AsyncIterator[Scene]:
    kind, url = request.param, cluster.url
    flows = {name: cls(workflow_name=name, broker=cluster.settings) for name, cls in FLOWS.items()}
    flows["late"] = Asking(workflow_name="late", broker=cluster.settings, timeout=0.2)
    for name, cls in FLOWS.items():
        await cluster.add_worker(cls, workflow_name=name, timeout=None)
    await cluster.add_worker(Asking, workflow_name="late", timeout=0.2)
    server = HttpServer(cluster.settings, flows, ServerOptions(token=TOKEN))
    async with server:
        one = Scene(kind, server.url if kind == "http" else url, cluster, AsyncClient())
        one.client = AsyncClient(one.url, **one.where)
        try:
            yield one
        finally:
            for run in (await one.client.runs(status="running")).runs:
                await (await one.client.attach(run.run_id)).cancel()
            await one.client.close()


async def texts(run: AsyncRun, after: int = 0) -> list[Any]:
    return [event.value async for event in run.events(after)]


async def question(run: AsyncRun) -> None:
    async for event in run.events():
        if event.type == "Ask":
            return


async def test_a_run_is_started_by_name_with_fields_or_an_event(scene: Scene) -> None:
    assert await within(scene.client.run("greeting", {"name": "you"})) == {"greeting": "hello you"}
    assert await within(scene.client.run("greeting", Hello(name="me"))) == {"greeting": "hello me"}
    assert await within(scene.client.run("greeting")) == {"greeting": "hello world"}
    given = {"deep": [{"a": 1}], "text": "ä\u2028"}
    assert await within(scene.client.run("plain", given)) == {"count": 1, "given": given}


async def test_a_run_may_have_any_id_that_can_be_printed(scene: Scene) -> None:
    for run_id in ("orders/42", "/", "%2F", "a b?#ä/steps"):
        run = await scene.client.submit("greeting", {"name": run_id}, run_id=run_id)
        assert await within(run.result()) == {"greeting": f"hello {run_id}"}
        assert (await texts(run))[-1] == {"greeting": f"hello {run_id}"}
        assert (await run.show()).run_id == run_id
        assert len(await run.steps()) == 1


async def test_what_several_ids_begin_with_means_none_of_them(scene: Scene) -> None:
    for run_id in ("alpha1", "alpha2"):
        await (await scene.client.submit("greeting", {"name": run_id}, run_id=run_id)).result()
    with pytest.raises(AmbiguousRunIdError) as caught:
        await (await scene.client.attach("alph")).show()
    assert (caught.value.run_id, caught.value.candidates) == ("alph", ("alpha1", "alpha2"))
    assert "'alph', such as alpha1, alpha2; write more" in str(caught.value)


async def test_a_run_has_tags_and_may_begin_later(scene: Scene) -> None:
    options = RunOptions(tags={"kunde": "Zoë 名"}, delay="90s")
    run = await scene.client.submit("greeting", {"name": "you"}, options=options)
    view = await run.show()
    assert (view.status, view.tags, view.started_at) == ("queued", {"kunde": "Zoë 名"}, None)
    assert view.begins_at is not None
    assert (view.begins_at - view.created_at).total_seconds() == 90
    listed = {one.run_id: one for one in (await scene.client.runs(status="queued")).runs}
    assert (listed[run.id].tags, listed[run.id].begins_at) == (view.tags, view.begins_at)
    assert await run.cancel() == "cancelled"


async def test_a_run_has_a_priority_and_a_key_where_that_is_of_use(scene: Scene) -> None:
    run = await scene.client.submit("greeting", {"name": "you"}, options=RunOptions(priority="high"))
    await within(run.result())
    assert (await run.show()).priority == "high"
    assert (await (await run.rerun()).show()).priority == "high"
    with pytest.raises(RunOptionError, match="'greeting' has no num_concurrent_runs"):
        await scene.client.submit("greeting", {"name": "you"}, options=RunOptions(fairness_key="a"))


async def test_runs_are_found_by_tag_error_length_and_age(scene: Scene) -> None:
    for name, workflow, tags in (
        ("one", "greeting", {"kunde": "Zoë=1", "plan": "a"}),
        ("two", "greeting", {"kunde": "Zoë=1", "plan": "b"}),
        ("three", "failing", {"plan": "b"}),
    ):
        await settled(await scene.client.submit(workflow, {}, run_id=name, options=RunOptions(tags=tags)))
    slow = await scene.client.submit("telling", {"count": 1, "pause_s": 0.6})
    await settled(slow)

    async def found(**wanted: Any) -> set[str]:
        return {one.run_id for one in (await scene.client.runs(**wanted)).runs}

    assert await found(tags={"kunde": "Zoë=1"}) == {"one", "two"}
    assert await found(tags={"kunde": "Zoë=1", "plan": "b"}) == {"two"}
    assert await found(tags={"plan": "z"}) == set()
    assert await found(error="LOOKUPERROR") == await found(error="nothing under") == {"three"}
    assert await found(error="nothing like it") == set()
    assert await found(longer_than_s=0.5, q="telling") == {slow.id}
    assert await found(longer_than_s=1e6) == set()
    now = datetime.now(timezone.utc)
    assert await found(since=now + timedelta(days=1)) == set()
    assert await found(since=(now - timedelta(days=1)).replace(tzinfo=None)) == {"one", "two", "three", slow.id}
    first = await scene.client.runs(tags={"kunde": "Zoë=1"}, limit=1)
    rest = await scene.client.runs(tags={"kunde": "Zoë=1"}, limit=1, cursor=first.next)
    assert [one.run_id for one in (*first.runs, *rest.runs)] == ["two", "one"]


async def settled(run: AsyncRun) -> None:
    with suppress(RemoteError):
        await within(run.result())


async def test_where_an_id_is_taken_a_run_attaches_or_takes_its_place(scene: Scene) -> None:
    first = await scene.client.submit("asking", {"name": "a"}, run_id="one")
    await within(question(first))
    with pytest.raises(RunConflictError):
        await scene.client.submit("asking", {"name": "b"}, run_id="one")
    attach, restart = RunOptions(on_conflict="attach"), RunOptions(on_conflict="restart", tags={"second": "yes"})
    await scene.client.submit("asking", {"name": "b"}, run_id="one", options=attach)
    created = (await first.show()).created_at
    again = await scene.client.submit("asking", {"name": "b"}, run_id="one", options=restart)
    view = await again.show()
    assert view.created_at > created
    assert (view.run_id, view.tags) == ("one", {"second": "yes"})
    await again.cancel()


async def test_a_run_of_a_workflow_at_hand_gives_its_own_stop_event(scene: Scene) -> None:
    ended = await within(scene.client.run(Greeting(workflow_name="greeting"), Hello(name="you")))
    assert ended == Greeted(greeting="hello you")
    plain = await within(scene.client.run(Plain(workflow_name="plain")))
    assert plain.result["count"] == 1


async def test_the_same_id_is_the_same_run_and_with_another_event_a_conflict(scene: Scene) -> None:
    first = await scene.client.submit("greeting", {"name": "you", "pause_s": 0}, run_id="once")
    again = await scene.client.submit("greeting", {"pause_s": 0, "name": "you"}, run_id="once")
    assert first.id == again.id == "once"
    await within(again.result())
    assert [one.run_id for one in (await scene.client.runs()).runs] == ["once"]
    with pytest.raises(RunConflictError, match="once"):
        await scene.client.submit("greeting", {"name": "other"}, run_id="once")


async def test_many_readers_see_all_events_from_where_they_ask(scene: Scene) -> None:
    run = await scene.client.submit("telling", {"count": 30, "pause_s": 0.01})
    readers = await within(asyncio.gather(*(texts(run, after) for after in (0, 0, 10))))
    numbers = [[value.get("number") for value in values if "number" in value] for values in readers]
    assert numbers == [[*range(30)], [*range(30)], [*range(10, 30)]]
    events = [event async for event in run.events()]
    assert [event.seq for event in events] == [*range(1, 32)]
    assert events[-1].type == "StopEvent"
    assert await texts(run, 31) == []


async def test_text_that_breaks_lines_arrives_whole(scene: Scene) -> None:
    values = await within(texts(await scene.client.submit("greeting")))
    assert values[0] == {"text": "one\u2028two\u2029three\u0085four\nfive"}


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_question_is_answered(scene: Scene, by_name: bool) -> None:
    run = await scene.client.submit("asking")
    await within(question(run))
    await (run.send("Reply", {"text": "fine"}) if by_name else run.send(Reply(text="fine")))
    assert await within(run.result()) == "fine"
    with pytest.raises(RunEndedError, match="completed"):
        await run.send("Reply", {"text": "late"})


async def test_a_run_that_ends_badly_raises_what_it_ended_of(scene: Scene) -> None:
    with pytest.raises(RemoteError, match="nothing under that name") as failed:
        await within(scene.client.run("failing"))
    assert failed.value.type_name.endswith("LookupError")
    assert "in fail" in failed.value.traceback_text
    with pytest.raises(WorkflowTimeoutError):
        await within(scene.client.run("late"))
    run = await scene.client.submit("asking")
    assert await run.cancel() == "cancelled"
    assert await run.cancel() == "cancelled"
    with pytest.raises(WorkflowCancelledByUser):
        await within(run.result())


async def test_who_waits_too_long_leaves_the_run_alone(scene: Scene) -> None:
    run = await scene.client.submit("asking")
    with pytest.raises(asyncio.TimeoutError):
        await run.result(timeout_s=0.1)
    assert (await run.show()).status == "running"


async def test_runs_steps_logs_workers_and_workflows_are_told(scene: Scene) -> None:
    ids = [(await scene.client.submit("plain", {"n": n})).id for n in range(3)]
    for one in ids:
        await within((await scene.client.attach(one)).result())
    page = await scene.client.runs("plain", "completed", limit=2)
    rest = await scene.client.runs("plain", "completed", limit=2, cursor=page.next)
    assert sorted(one.run_id for one in (*page.runs, *rest.runs)) == sorted(ids)
    assert rest.next is None
    run = await scene.client.attach(ids[0])
    assert [(one.step, one.outcome) for one in await run.steps()] == [("count", "ended")]
    assert await run.logs() == []
    assert (await run.show()).workflow == "plain"
    assert len(await scene.client.workers()) == len(FLOWS) + 1
    assert {one.workflow for one in await scene.client.workflows()} >= {*FLOWS, "late"}
    assert (await scene.client.health()).ok
    assert await scene.client.dead_letters() == []
    assert await scene.client.drop_dead_letters(["1-1"]) == 0
    (again,) = await scene.client.retry_dead_letters(["1-1"])
    assert "no dead letter 1-1" in (again.error or "")


async def test_a_run_is_done_again(scene: Scene) -> None:
    run = await scene.client.submit("failing")
    with pytest.raises(RemoteError):
        await within(run.result())
    again = await run.rerun(run_id="again")
    assert (await again.show()).rerun_of == run.id
    with pytest.raises(RemoteError):
        await within(again.result())
    with pytest.raises(NothingToRerunError, match="'nowhere'"):
        await run.rerun("nowhere")
    done = await scene.client.submit("telling", {"count": 2})
    first = await within(done.result())
    once_more = await done.rerun("tell")
    assert await within(once_more.result()) == first


async def test_errors_say_what_where_and_how(scene: Scene) -> None:
    with pytest.raises(
        WorkflowNotFoundError, match=r"'nothing' is not known to .*greeting.* Is the name right"
    ) as lost:
        await scene.client.submit("nothing")
    assert ("server at http" if scene.kind == "http" else scene.stage.settings.namespace) in str(lost.value)
    nobody = await scene.client.attach("nobody")
    for asking in (nobody.show(), nobody.cancel(), nobody.result(), nobody.steps(), texts(nobody), nobody.rerun()):
        with pytest.raises(RunNotFoundError, match="nobody"):
            await asking
    with pytest.raises(RunNotFoundError):
        await nobody.send("Reply", {"text": "x"})
    with pytest.raises(ValueError, match="run_id cannot be"):
        await scene.client.submit("plain", run_id="a|b")


async def test_values_that_do_not_fit_the_start_event_start_nothing_or_fail_the_run(scene: Scene) -> None:
    # A server has the class and refuses; at Redis only the worker can tell, and the run fails with what is wrong.
    with pytest.raises(BrokerError, match="count"):
        await within(scene.client.run("telling", {"count": "many"}))


async def test_a_client_without_an_event_loop_has_the_same_calls(scene: Scene) -> None:
    def script() -> None:
        with Client(scene.url, **scene.where) as client:
            assert client.run("greeting", {"name": "you"}) == {"greeting": "hello you"}
            assert client.run(Greeting(workflow_name="greeting"), Hello(name="me")) == Greeted(greeting="hello me")
            run = client.submit("asking")
            for event in run.events():
                if event.type == "Ask":
                    break
            run.send("Reply", {"text": "fine"})
            assert run.result() == "fine"
            assert client.attach(run.id).cancel() == "completed"
            assert [one.step for one in run.steps()] == ["ask"]
            assert (run.show().result, run.logs()) == ("fine", [])
            assert [one.type for one in run.events()] == ["Ask", "StopEvent"]
            again: Run = run.rerun()
            again.cancel()
            assert {one.run_id for one in client.runs().runs} >= {run.id, again.id}
            assert client.health().ok
            assert client.workers()
            assert client.workflows()
            assert client.dead_letters() == client.retry_dead_letters([]) == []
            assert client.drop_dead_letters([]) == 0
            with pytest.raises(RunNotFoundError):
                client.attach("nobody").show()

    await within(asyncio.to_thread(script))
    assert [one for one in threading.enumerate() if one.name == "broker-wf-client"] == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/wf", "redis://127.0.0.1:1"])
async def test_where_nobody_answers_the_error_names_the_place(url: str) -> None:
    async with AsyncClient(url, patience_s=0.2) as client:
        with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:1.*Is it running"):
            await within(client.submit("plain"))


async def test_health_of_a_server_that_has_gone_is_an_answer() -> None:
    async with AsyncClient("http://127.0.0.1:1") as client:
        found = await within(client.health())
    assert not found.ok
    assert "127.0.0.1:1" in (found.detail or "")


async def test_a_token_is_asked_for_and_a_wrong_place_is_told(cluster: Stage) -> None:
    async with HttpServer(cluster.settings, [], ServerOptions(token=TOKEN)) as server:
        async with AsyncClient(server.url) as client:
            with pytest.raises(RequestRefusedError, match=r"status 401.*token=") as refused:
                await client.runs()
            assert refused.value.status == 401
        async with AsyncClient(f"{server.url}/wrong", token=TOKEN) as client:
            with pytest.raises(RequestRefusedError, match=r"status 404.*root path"):
                await client.runs()

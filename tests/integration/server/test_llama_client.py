"""The unmodified client of llama-agents, on a real HTTP server, with workers elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from llama_agents.client import WorkflowClient
from workflows.events import HumanResponseEvent as TheirAnswer
from workflows.events import StartEvent as TheirStart

from broker_wf.server import ServerOptions
from tests.apps.answering import Asking, Failing, Greeting, Plain, Telling
from tests.integration.server.serving import HttpServer
from tests.integration.stage import Stage, WorkerThread

FLOWS = {"greeting": Greeting, "plain": Plain, "asking": Asking, "failing": Failing, "telling": Telling}


class Reply(TheirAnswer):
    text: str


@dataclass
class Scene:
    url: str
    stage: Stage

    @property
    def client(self) -> WorkflowClient:
        return WorkflowClient(base_url=self.url)

    def http(self, **given: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=20, **given)


async def put_on(stage: Stage) -> None:
    """A worker that serves all flows, elsewhere."""
    worker = WorkerThread(
        stage.settings, lambda: [cls(broker=stage.settings, workflow_name=name) for name, cls in FLOWS.items()]
    )
    stage.workers.append(await worker.begin())


def flows(stage: Stage) -> list[Any]:
    return [cls(broker=stage.settings, workflow_name=name) for name, cls in FLOWS.items()]


@pytest_asyncio.fixture
async def scene(cluster: Stage) -> AsyncIterator[Scene]:
    await put_on(cluster)
    options = ServerOptions(heartbeat_s=0.2)
    async with HttpServer(cluster.settings, flows(cluster), options) as server:
        yield (one := Scene(server.url, cluster))
        # The namespace is audited: what still runs has keys that live until it ends.
        for left in (await one.client.get_handlers(status=["running"])).handlers:
            await one.client.cancel_handler(left.handler_id)


async def all_of(stream: Any) -> list[Any]:
    return [(stream.last_sequence, event) async for event in stream]


async def test_what_is_served_can_be_asked_for(scene: Scene) -> None:
    client = scene.client
    assert (await client.is_healthy()).status == "healthy"
    assert (await client.list_workflows()).workflows == list(FLOWS)
    schema = await client.get_workflow_schema("greeting")
    assert set(schema.start["properties"]) == {"name", "pause_s"}
    assert schema.stop["title"] == "Greeted"
    events = (await client.get_workflow_events_schema("greeting")).events
    assert {one["title"] for one in events} == {"Hello", "Greeted"}
    graph = (await client.get_workflow_graph("greeting")).graph
    assert {node.id for node in graph.nodes} >= {"Hello", "greet", "Greeted"}
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await client.get_workflow_schema("unknown")


async def test_a_run_is_waited_for(scene: Scene) -> None:
    data = await scene.client.run_workflow("greeting", start_event={"name": "Ada"})
    assert (data.status, data.workflow_name, data.error) == ("completed", "greeting", None)
    assert data.result is not None
    assert (data.result.type, data.result.types, data.result.value) == (
        "Greeted",
        ["StopEvent"],
        {"greeting": "hello Ada"},
    )
    assert data.result.qualified_name == "tests.apps.answering.Greeted"
    assert data.completed_at is not None
    with pytest.raises(httpx.HTTPStatusError, match="nothing under that name"):
        await scene.client.run_workflow("failing")


async def test_a_run_is_followed_to_its_end_with_line_breaks_of_every_kind_in_its_events(scene: Scene) -> None:
    data = await scene.client.run_workflow_nowait("greeting", start_event=TheirStart())
    assert data.status == "running"
    found = await all_of(scene.client.get_workflow_events(data.handler_id))
    assert [event.type for _, event in found] == ["Note", "Special", "Greeted"]
    assert found[0][1].value["text"] == "one\u2028two\u2029three\u0085four\nfive"
    assert found[1][1].types == ["Note"]
    assert found[1][1].value["text"] == "ä"
    assert [seq for seq, _ in found] == [0, 1, 2]
    again = await all_of(scene.client.get_workflow_events(data.handler_id, after_sequence=0))
    assert [seq for seq, _ in again] == [1, 2]
    assert await all_of(scene.client.get_workflow_events(data.handler_id, after_sequence=2)) == []
    assert await all_of(scene.client.get_workflow_events(data.handler_id, after_sequence="now")) == []
    assert (await scene.client.wait_for_handler(data.handler_id)).status == "completed"
    with pytest.raises(ValueError, match="Handler not found"):
        await all_of(scene.client.get_workflow_events("unknown"))


async def test_the_engines_own_events_are_shown_to_whoever_asks(scene: Scene) -> None:
    data = await scene.client.run_workflow_nowait("asking")
    stream = scene.client.get_workflow_events(data.handler_id, include_internal_events=True)
    seen = []
    async for event in stream:
        seen.append(event)
        if event.type == "WorkflowIdleEvent":
            assert "InternalDispatchEvent" in (event.types or [])
            await scene.client.send_event(data.handler_id, Reply(text="yes"))
    assert seen[-1].type == "StopEvent"
    assert stream.last_sequence != -1


async def test_a_person_answers(scene: Scene) -> None:
    data = await scene.client.run_workflow_nowait("asking", handler_id="mine")
    assert data.handler_id == "mine"
    async for event in scene.client.get_workflow_events("mine"):
        if event.type == "Ask":
            assert (event.value, event.types) == ({"question": "well?"}, ["InputRequiredEvent"])
            sent = await scene.client.send_event("mine", Reply(text="fine"))
            assert sent.status == "sent"
    handler = await scene.client.get_handler("mine")
    assert handler.result is not None
    assert handler.result.value == {"result": "fine"}
    async with scene.http() as http:
        assert (await http.get("/results/mine")).json()["result"] == "fine"
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await scene.client.send_event("mine", Reply(text="late"))


async def test_handlers_are_listed_cancelled_and_purged(scene: Scene) -> None:
    first = await scene.client.run_workflow_nowait("asking")
    done = await scene.client.run_workflow("plain")
    listed = (await scene.client.get_handlers()).handlers
    assert {one.handler_id: one.status for one in listed} == {first.handler_id: "running", done.handler_id: "completed"}
    only = (await scene.client.get_handlers(status=["running"], workflow_name=["asking"])).handlers
    assert [one.handler_id for one in only] == [first.handler_id]
    assert (await scene.client.cancel_handler(first.handler_id)).status == "cancelled"
    stopped = (await scene.client.get_handlers(status=["cancelled"])).handlers
    assert [one.handler_id for one in stopped] == [first.handler_id]
    events = await all_of(scene.client.get_workflow_events(first.handler_id))
    assert events[-1][1].type == "WorkflowCancelledEvent"
    assert events[-1][1].types == ["StopEvent"]
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await scene.client.cancel_handler(first.handler_id)
    assert (await scene.client.cancel_handler(first.handler_id, purge=True)).status == "deleted"
    live = await scene.client.run_workflow_nowait("asking")
    assert (await scene.client.cancel_handler(live.handler_id, purge=True)).status == "deleted"
    assert [one.handler_id for one in (await scene.client.get_handlers()).handlers] == [done.handler_id]


async def test_a_handler_used_again_goes_on_with_its_state(scene: Scene) -> None:
    for count in (1, 2):
        data = await scene.client.run_workflow("plain", handler_id="again")
        assert data.result is not None
        assert data.result.value["result"]["count"] == count
    await scene.client.run_workflow_nowait("asking", handler_id="busy")
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await scene.client.run_workflow_nowait("asking", handler_id="busy")


async def test_a_run_that_lasts_long_is_waited_for_by_a_client_that_gives_up_after_five_seconds(scene: Scene) -> None:
    data = await scene.client.run_workflow("greeting", start_event={"pause_s": 5.6})
    assert data.status == "completed"


async def test_statuses_and_errors_are_those_of_the_original(scene: Scene) -> None:
    async with scene.http() as http:

        async def answered(method: str, path: str, **given: Any) -> tuple[int, Any]:
            answer = await http.request(method, path, **given)
            return answer.status_code, answer.json() if answer.content else None

        run = "/workflows/greeting/run-nowait"
        assert await answered("POST", "/workflows/none/run", json={}) == (404, {"detail": "Workflow not found"})
        for body in (b"", b"{", b"[]"):
            assert (await answered("POST", run, content=body))[0] == 400
        code, said = await answered("POST", run, json={"start_event": {"type": "Odd", "value": {}}})
        assert (code, "Odd" in said["detail"]) == (400, True)
        assert (await answered("POST", run, json={"start_event": {"type": "Note", "value": {"text": ""}}}))[0] == 400
        foreign = {"qualified_name": "os.system", "value": {}}
        assert (await answered("POST", run, json={"start_event": foreign}))[0] == 400
        assert (await answered("POST", run, json={"start_event": {"pause_s": "long"}}))[0] == 400
        assert (await answered("POST", run, json={"context": {"a": 1}}))[0] == 400
        # A form's type, an envelope as text, fields under kwargs: all of them start a run.
        text = '{"start_event": "{\\"type\\": \\"Hello\\", \\"value\\": {\\"name\\": \\"x\\"}}"}'
        code, data = await answered("POST", run, content=text, headers={"content-type": "text/plain"})
        assert code == 200
        assert (await answered("POST", "/workflows/greeting/run", json={"kwargs": {"name": "kw"}}))[1]["result"][
            "value"
        ] == {"greeting": "hello kw"}
        code, data = await answered("POST", "/workflows/greeting/run", json={"handler_id": "orders/42"})
        assert (code, data["handler_id"]) == (200, "orders/42")
        for part in ("handlers", "results", "events"):
            assert (await answered("GET", f"/{part}/orders%2F42?after_sequence=99"))[0] == (
                204 if part == "events" else 200
            )
        assert await answered("GET", "/handlers/none") == (404, {"detail": "Handler not found"})
        code, data = await answered("POST", "/workflows/asking/run-nowait", json={})
        where = data["handler_id"]
        assert (await answered("GET", f"/handlers/{where}"))[0] == 202
        assert (await answered("GET", f"/results/{where}"))[0] == 202
        assert await answered("GET", f"/events/{where}?after_sequence=zz") == (
            400,
            {"detail": "Invalid after_sequence: 'zz'"},
        )
        for event in (None, {"type": "Reply", "value": {}}, {"type": "Odd", "value": {}}, "no json"):
            assert (await answered("POST", f"/events/{where}", json={"event": event}))[0] == 400
        reply = {"type": "Reply", "value": {"text": "x"}}
        assert (await answered("POST", f"/events/{where}", json={"event": reply, "step": "none"}))[0] == 500
        code, data = await answered("POST", "/workflows/failing/run", json={})
        assert (code, data["status"], data["error"]) == (500, "failed", "nothing under that name")
        assert (await answered("GET", f"/handlers/{data['handler_id']}"))[0] == 500
        assert (await answered("GET", "/handlers?status=odd&status=&workflow_name="))[0] == 200


async def test_the_clients_own_errors_are_raised_as_at_the_originals_server(scene: Scene) -> None:
    with pytest.raises(ValueError, match=r"httpx_client|base_url"):
        WorkflowClient()
    with pytest.raises(httpx.HTTPStatusError, match=r"404 .*Workflow not found"):
        await scene.client.run_workflow("unknown")
    data = await scene.client.run_workflow_nowait("asking")
    with pytest.raises(TimeoutError):
        await scene.client.wait_for_handler(data.handler_id, timeout=0.3)
    going = await HttpServer(scene.stage.settings, flows(scene.stage)).__aenter__()
    stream = WorkflowClient(base_url=going.url).get_workflow_events(data.handler_id, max_reconnect_attempts=1)
    with pytest.raises(ConnectionError):
        async for event in stream:
            assert event.type == "Ask"
            await going.stop()
    await stream.aclose()


async def test_streams_say_that_they_live_and_come_as_lines_too(scene: Scene) -> None:
    async with scene.http() as http:
        where = (await http.post("/workflows/asking/run-nowait", json={})).json()["handler_id"]
        async with http.stream("GET", f"/events/{where}") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line == ": heartbeat":
                    break
        await http.post(f"/events/{where}", json={"event": {"type": "Reply", "value": {"text": "x"}}})
        answer = await http.get(f"/events/{where}", params={"sse": "false", "include_qualified_name": "false"})
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert [line.partition(",")[0] for line in answer.text.splitlines()]
        assert '"qualified_name":null' in answer.text
        assert (await http.get(f"/events/{where}", headers={"last-event-id": "1"})).status_code == 204


async def test_a_server_that_stops_drops_its_streams_and_another_one_goes_on_with_them(scene: Scene) -> None:
    first = await HttpServer(scene.stage.settings, flows(scene.stage)).__aenter__()
    data = await scene.client.run_workflow_nowait("telling", start_event={"count": 60, "pause_s": 0.02})

    class TwoServers(httpx.AsyncHTTPTransport):
        """What a proxy does: the server that is there."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            url = httpx.URL(first.url if first.is_alive() and not first.server.should_exit else scene.url)
            request.url = request.url.copy_with(port=url.port)
            return await super().handle_async_request(request)

    async with httpx.AsyncClient(base_url=first.url, transport=TwoServers()) as http:
        found: list[int] = []
        stopping = None
        async for event in WorkflowClient(httpx_client=http).get_workflow_events(data.handler_id):
            found.append(event.value.get("number", -1))
            if len(found) == 10:
                stopping = asyncio.ensure_future(first.stop())
        assert stopping is not None
        await stopping
    assert found == [*range(60), -1]

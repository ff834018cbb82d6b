"""Every route of /api/v1, asked by a real HTTP client of a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
import redis

from broker_wf.errors import WorkflowCancelledByUser
from broker_wf.server.api.endpoint import as_json
from tests.apps.shown import FLOWS, Asking, Failing, Flaky, Spread
from tests.integration.stage import Stage, within
from tests.page.served import ServerThread

API = "/api/v1"
ASKING, FAILING, SPREAD = (f"tests.apps.shown.{flow.__name__}" for flow in (Asking, Failing, Spread))


@dataclass
class Api:
    client: httpx.AsyncClient
    stage: Stage

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(API + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, status: int = 200) -> Any:
        answer = await self.client.post(API + path, json={} if body is None else body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, path: str, **query: Any) -> tuple[int, str]:
        answer = await self.client.get(API + path, params=query)
        return answer.status_code, answer.json()["error"]

    async def start(self, workflow: str, **fields: Any) -> str:
        return (await self.post("/runs", {"workflow": workflow, "event": fields}))["run_id"]

    async def ended(self, run_id: str) -> Any:
        """How a run stands once its events have ended."""
        await within(self.events(run_id))
        return (await self.get(f"/runs/{run_id}"))["run"]

    async def events(self, run_id: str, **headers: str) -> list[Any]:
        return await self.followed(f"/runs/{run_id}/events", **headers)

    async def followed(self, path: str, **headers: str) -> list[Any]:
        found: list[Any] = []
        sse = {"accept": "text/event-stream", **headers}
        async with self.client.stream("GET", API + path, headers=sse) as answer:
            async for line in answer.aiter_lines():
                if line == "event: end":
                    break
                if line.startswith("data: "):
                    found.append(json.loads(line[6:]))
        return found

    async def question(self) -> Any:
        return (await within(self.until("/waiting", "waiting")))["waiting"][0]

    async def until(self, path: str, name: str) -> Any:
        """The answer in which something of this name is there."""
        found = await self.get(path)
        while not found[name]:
            await asyncio.sleep(0.02)
            found = await self.get(path)
        return found


@pytest_asyncio.fixture
async def api(cluster: Stage) -> AsyncIterator[Api]:
    for flow in FLOWS:
        await cluster.add_worker(flow)
    server = await ServerThread(cluster.settings, FLOWS).begin()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            yield (one := Api(client, cluster))
            await one.post("/runs:bulk", {"action": "cancel", "dry_run": False})
    finally:
        await server.end()


async def test_a_run_is_started_followed_and_shown(api: Api) -> None:
    run_id = await api.start(SPREAD, parts=3)
    run = await api.ended(run_id)
    assert (run["status"], run["result"]) == ("completed", {"sent": 3})
    detail = await api.get(f"/runs/{run_id}")
    assert detail["done"] == detail["total"] == 7
    assert {one["step"]: one["done"] for one in run["steps"]} == {"unpack": 1, "pack": 3, "send": 3}
    rows = (await api.get(f"/runs/{run_id}/steps"))["steps"]
    assert rows[0]["step"] == "unpack"
    assert {row["outcome"] for row in rows} == {"ok", "ended"}
    (event,) = (await api.get(f"/runs/{run_id}/events"))["events"]
    assert (event["type"], event["value"]) == ("StopEvent", {"result": {"sent": 3}})
    assert (event["step"], event["attempt"], event["worker"]) == ("send", 1, rows[-1]["worker"])
    assert await api.events(run_id) == [event]
    assert await api.events(run_id, **{"last-event-id": "1"}) == []


async def test_the_state_of_a_run_is_shown_as_plain_data(api: Api) -> None:
    run_id = await api.start(SPREAD, parts=2)
    await api.ended(run_id)
    state = (await api.get(f"/runs/{run_id}/state"))["state"]
    assert state["count"] == 2
    assert await api.refused("/runs/nobody/state") == (404, "RunNotFoundError")


async def test_the_log_of_a_run_is_paged_filtered_and_followed(api: Api) -> None:
    run_id = await api.start(SPREAD, parts=2, customer="who")
    await api.ended(run_id)
    lines = await within(api.followed(f"/runs/{run_id}/logs"))
    assert sorted(one["text"] for one in lines) == ["part 0 is packed", "part 1 is packed", "who has ordered 2 parts"]
    assert (lines[0]["step"], lines[0]["level"], lines[0]["attempt"]) == ("unpack", "INFO", 1)
    page = await api.get(f"/runs/{run_id}/logs", limit=1)
    assert (page["logs"], page["next"]) == (lines[:1], lines[0]["cursor"])
    assert (await api.get(f"/runs/{run_id}/logs", after=page["next"]))["logs"] == lines[1:]
    assert (await api.get(f"/runs/{run_id}/logs", step="pack"))["logs"] == lines[1:]
    assert (await api.get(f"/runs/{run_id}/logs", level="ERROR"))["logs"] == []
    assert await within(api.followed(f"/runs/{run_id}/logs", **{"last-event-id": lines[1]["cursor"]})) == lines[2:]
    assert await api.refused("/runs/nobody/logs") == (404, "RunNotFoundError")
    assert await api.refused(f"/runs/{run_id}/logs", level="LOUD") == (422, "ValidationError")
    assert await api.refused(f"/runs/{run_id}/logs", after="x") == (422, "ValidationError")


def test_what_utf_8_cannot_say_is_escaped() -> None:
    assert as_json({"text": "\ud800"}) == b'{"text":"\\ud800"}'
    assert as_json({"text": "\u2028", "number": float("nan")}) == b'{"text":"\xe2\x80\xa8","number":null}'


async def test_a_failed_run_tells_why_with_its_traceback(api: Api) -> None:
    run = await api.ended(await api.start(FAILING))
    assert run["status"] == "failed"
    assert (run["error"]["type"], run["error"]["step"], run["error"]["attempts"]) == (
        "builtins.ValueError",
        "break_it",
        2,
    )
    assert "break_it" in run["error"]["traceback"]


async def test_a_question_is_listed_with_the_form_of_its_answer_and_answered(api: Api) -> None:
    run_id = await api.start(ASKING, amount=5)
    asked = await api.question()
    assert asked["wait"]["question"] == {"question": "May 5 € be spent on travel?", "amount": 5.0}
    assert asked["schemas"]["Verdict"]["required"] == ["granted"]
    where = f"/runs/{run_id}/events"
    await api.post(where, {"type": "Verdict", "value": {"granted": "perhaps"}}, 422)
    assert (await api.post(where, {"type": "Nothing"}, 400))["error"] == "UnknownEvent"
    await api.post(where, {"type": "Verdict", "value": {"granted": True, "remark": "go"}})
    assert (await api.ended(run_id))["result"] == {"granted": True, "remark": "go"}
    assert (await api.post(where, {"type": "Verdict", "value": {"granted": True}}, 409))["error"] == "RunEndedError"


async def test_many_runs_start_in_one_request_and_each_is_judged_by_itself(api: Api) -> None:
    wanted = [
        {"workflow": SPREAD, "event": {"parts": 1}, "run_id": "one"},
        {"workflow": SPREAD, "event": {"parts": 0}},
        {"workflow": "unknown"},
        {"workflow": SPREAD, "event": {"parts": 2}, "run_id": "one"},
    ]
    runs = (await api.post("/runs", {"runs": wanted}))["runs"]
    assert [run["run_id"] for run in runs] == ["one", None, None, None]
    assert [run["error"] is None for run in runs] == [True, False, False, False]
    assert "parts" in runs[1]["error"]
    assert (await api.post("/runs", {"workflow": "unknown"}, 404))["error"] == "WorkflowNotServed"
    assert (await api.post("/runs", wanted[3], 409))["error"] == "RunConflictError"
    await api.ended("one")


async def test_runs_are_cancelled_one_by_one_and_in_bulk_after_a_dry_run(api: Api) -> None:
    runs = {await api.start(ASKING, amount=number + 1) for number in range(3)}
    first = sorted(runs)[0]
    assert await api.post(f"/runs/{first}/cancel") == {"run_id": first, "status": "cancelled"}
    rest = runs - {first}
    tried = await api.post("/runs:bulk", {"action": "cancel", "workflow": ASKING})
    assert (tried["dry_run"], set(tried["run_ids"])) == (True, rest)
    done = await api.post("/runs:bulk", {"action": "cancel", "workflow": ASKING, "dry_run": False})
    assert set(done["run_ids"]) == rest
    again = await api.post("/runs:bulk", {"action": "cancel", "run_ids": [first, "nobody"], "dry_run": False})
    assert set(again["run_ids"]) == {first}
    for run_id in runs:
        assert (await api.get(f"/runs/{run_id}"))["run"]["status"] == "cancelled"


async def test_what_several_ids_begin_with_is_refused_and_touches_none(api: Api) -> None:
    for run_id in ("alpha1", "alpha2"):
        await api.post("/runs", {"workflow": ASKING, "run_id": run_id})
    for path in ("/runs/alph", "/runs/alph/steps"):
        assert await api.refused(path) == (409, "AmbiguousRunIdError")
    answer = await api.client.post("/api/v1/runs/alph/cancel")
    assert (answer.status_code, "alpha1, alpha2;" in answer.json()["detail"]) == (409, True)
    assert {(await api.get(f"/runs/{one}"))["run"]["status"] for one in ("alpha1", "alpha2")} == {"running"}


async def test_lists_of_runs_are_filtered_searched_and_paged(api: Api) -> None:
    made = [await api.start(SPREAD, parts=1) for _ in range(5)]
    for run_id in made:
        await api.ended(run_id)
    failed = await api.start(FAILING)
    await api.ended(failed)
    seen: list[str] = []
    cursor = None
    while True:
        page = await api.get("/runs", workflow=SPREAD, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [run["run_id"] for run in page["runs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    (bad,) = (await api.get("/runs", status="failed"))["runs"]
    assert (bad["run_id"], bad["error"]) == (failed, "ValueError: cannot carry <b>not bold</b>")
    assert [run["run_id"] for run in (await api.get("/runs", q=failed[2:]))["runs"]] == [failed]
    assert len((await api.get("/runs", q="Spread", limit=3))["runs"]) == 3
    newest = (await api.get("/runs", limit=1))["runs"][0]
    assert newest["run_id"] == failed
    assert [run["run_id"] for run in (await api.get("/runs", since=newest["ended_at"]))["runs"]] == [failed]
    assert await api.refused("/runs", cursor="nonsense") == (422, "ValidationError")
    assert await api.refused("/runs", limit="0") == (422, "ValidationError")
    assert await api.refused("/runs", colour="red") == (422, "ValidationError")
    assert await api.refused("/runs/nobody") == (404, "RunNotFoundError")


async def test_a_live_run_is_found_by_what_it_tries_again_after(api: Api) -> None:
    await api.start(ASKING)
    run = api.stage.flow(Flaky).run(currency="SEK")
    await api.stage.add_worker(Flaky)
    await api.until("/runs?error=BANK%20of%20sek", "runs")
    wish = {"action": "cancel", "error": "builtins.ConnectionError"}
    assert (await api.post("/runs:bulk", wish))["run_ids"] == [run.run_id]
    assert (await api.post("/runs:bulk", {**wish, "error": "another"}))["run_ids"] == []
    assert (await api.post("/runs:bulk", {**wish, "action": "rerun"}))["run_ids"] == []
    assert (await api.post("/runs:bulk", {**wish, "dry_run": False}))["run_ids"] == [run.run_id]
    with pytest.raises(WorkflowCancelledByUser):
        await run
    assert (await api.get("/runs", error="bank"))["runs"] == []


async def test_by_filter_live_runs_are_cancelled_however_many_others_are_newer(api: Api) -> None:
    asking = [await api.start(ASKING) for _ in range(2)]
    for _ in range(3):
        await api.ended(await api.start(SPREAD, parts=1))
    wish = {"action": "cancel", "limit": 1, "dry_run": False}
    assert [(await api.post("/runs:bulk", wish))["run_ids"] for _ in range(3)] == [[asking[1]], [asking[0]], []]
    assert (await api.post("/runs:bulk", {**wish, "status": "failed"}))["run_ids"] == []


async def test_workers_queues_and_backlog_tell_the_load(api: Api) -> None:
    assert len((await api.get("/workers"))["workers"]) == 3
    await api.start(ASKING)
    await api.question()
    queues = {one["workflow"]: one for one in (await api.get("/queues"))["queues"]}
    assert (queues[ASKING]["live_runs"], queues[ASKING]["workers"]) == (1, 1)
    assert (queues[ASKING]["max_runs"], queues[ASKING]["limits"]) == (None, {})
    await api.stage.add_worker(Flaky, num_concurrent_runs=5)
    (limited,) = [one for one in (await api.get("/queues"))["queues"] if one["workflow"].endswith("Flaky")]
    assert (limited["max_runs"], limited["limits"]) == (5, {"fetch": 2})
    nothing = {"queue": "unknown", "waiting": 0, "running": 0, "backlog": 0, "oldest_waiting_ms": 0}
    assert await api.get("/backlog", queue="unknown") == nothing
    assert (await api.get("/backlog"))["queue"] is None


async def test_workflows_are_described_with_and_without_their_code(api: Api) -> None:
    infos = {one["name"]: one for one in (await api.get("/workflows"))["workflows"]}
    assert infos[SPREAD]["startable"]
    assert infos[SPREAD]["description"].startswith("Packs")
    schemas = await api.get(f"/workflows/{SPREAD}/schemas")
    assert schemas["start"] == "Order"
    assert schemas["events"]["Order"]["properties"]["parts"]["maximum"] == 2000
    assert "Verdict" in (await api.get(f"/workflows/{ASKING}/schemas"))["events"]
    assert await api.refused("/workflows/unknown/graph") == (404, "WorkflowNotFound")
    ways = _ways(await api.get(f"/workflows/{SPREAD}/graph"))
    server = await ServerThread(api.stage.settings, ()).begin()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            elsewhere = Api(client, api.stage)
            info = (await elsewhere.get("/workflows"))["workflows"][0]
            assert (info["startable"], info["description"]) == (False, None)
            assert _ways(await elsewhere.get(f"/workflows/{SPREAD}/graph")) == ways
            known = {"workflow": SPREAD, "start": "Order", "events": {}}
            assert await elsewhere.get(f"/workflows/{SPREAD}/schemas") == known
    finally:
        await server.end()


def _ways(graph: Any) -> set[tuple[str, str]]:
    return {(edge["source"], edge["target"]) for edge in graph["edges"]}


async def test_dead_letters_are_listed_newest_first(api: Api) -> None:
    with redis.Redis.from_url(api.stage.url) as client:
        stream = api.stage.keys.of("work", SPREAD, "Order")
        client.xadd(stream, {"nonsense": "1"})
    await api.ended(await api.start(SPREAD))  # it rings for what waits in front of it, too
    (letter,) = (await within(api.until("/dlq", "total")))["dead_letters"]
    assert letter["kind"] == "malformed"
    assert (await api.post("/dlq:drop", {"ids": ["all"]}, 422))["error"] == "ValidationError"
    assert (await api.post("/dlq:drop", {"ids": [letter["id"], "1-1"]}))["dropped"] == 1
    assert await api.get("/dlq") == {"dead_letters": [], "total": 0}


async def test_one_stream_tells_what_changes(api: Api) -> None:
    async with api.client.stream("GET", API + "/stream") as answer:
        told = _told(answer)
        assert (await within(anext(told)))[0] == "status"
        first = await api.start(SPREAD, parts=1)
        await api.ended(first)
        second = await api.start(ASKING)

        async def until_both_are_told() -> set[str]:
            seen: set[str] = set()
            async for name, data in told:
                if name == "runs":
                    seen |= {run["run_id"] for run in data}
                if second in seen:
                    return seen
            raise AssertionError("the stream has ended")

        assert second in await within(until_both_are_told())


async def test_a_stream_is_dropped_and_never_ended_when_the_server_stops(api: Api) -> None:
    server = await ServerThread(api.stage.settings, FLOWS).begin()
    async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", f"{server.url}{API}/stream") as answer:
        lines = answer.aiter_lines()
        await within(anext(lines))
        await server.end()
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in lines:
                pass


async def _told(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


async def test_machines_find_metrics_and_health(api: Api) -> None:
    for prefix in ("", API):
        text = (await api.client.get(prefix + "/metrics")).text
        assert "broker_wf_workers 3\n" in text
        assert f'broker_wf_live_runs{{workflow="{SPREAD}"}} 0\n' in text
        assert (await api.client.get(prefix + "/livez")).json()["status"] == "ok"
        assert (await api.client.get(prefix + "/readyz")).json()["status"] == "ok"


async def test_the_description_names_every_route_and_resolves_in_itself(api: Api) -> None:
    found = await api.get("/openapi.json")
    assert found["openapi"] == "3.1.0"
    assert {"/api/v1/runs", "/api/v1/runs/{run_id}/events", "/api/v1/stream", "/api/v1/dlq"} <= set(found["paths"])
    schemas = found["components"]["schemas"]
    text = json.dumps(found)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas
    assert schemas["RunSummary"]["properties"]["cursor"]["type"] == "string"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_form_of_another_site_could_send_is_not_read(api: Api, kind: str) -> None:
    body = json.dumps({"workflow": SPREAD})
    answer = await api.client.post(API + "/runs", content=body, headers={"content-type": kind})
    assert answer.status_code == 415
    assert (await api.get("/runs"))["runs"] == []

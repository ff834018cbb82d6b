"""Requests made of the description of /api/v1, to a real server, which has to keep what the description says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from broker_wf.settings import Settings
from tests.apps.shown import FLOWS, Asking, Failing, Spread
from tests.integration.stage import Stage, within
from tests.page.served import ServerThread

API = "/api/v1"
ENDLESS = f"{API}/stream"
BY_VALUE = (f"{API}/runs", f"{API}/runs/{{run_id}}/events", f"{API}/runs/{{run_id}}/rerun")
"""What fits the description of these may fit no workflow, run or step."""
CONFORMS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ASKING, FAILING, SPREAD = (f"tests.apps.shown.{flow.__name__}" for flow in (Asking, Failing, Spread))
ASKED_S = 10
EXAMPLES = 25
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")


@dataclass
class Served:
    """A server, and what there is to ask for."""

    url: str
    ended: list[str]
    live: str

    @property
    def schema(self) -> Any:
        return schemathesis.openapi.from_url(f"{self.url}{API}/openapi.json")

    def cases(self, one: Any, mode: GenerationMode) -> st.SearchStrategy[Any]:
        """Requests for runs there are, and for anything else."""
        made = [one.as_strategy(generation_mode=mode)]
        if "{run_id}" in one.path:
            known = self.ended if one.method.upper() == "GET" else [*self.ended, self.live]
            made += [one.as_strategy(generation_mode=mode, path_parameters={"run_id": run_id}) for run_id in known]
        if "{workflow}" in one.path:
            made.append(one.as_strategy(generation_mode=mode, path_parameters={"workflow": SPREAD}))
        return st.one_of(made)


@pytest_asyncio.fixture
async def served(cluster: Stage) -> AsyncIterator[Served]:
    for flow in FLOWS:
        await cluster.add_worker(flow)
    server = await ServerThread(cluster.settings, FLOWS).begin()
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        try:
            asked = {"runs": [{"workflow": name} for name in (SPREAD, FAILING, ASKING)]}
            made = (await http.post(f"{API}/runs", json=asked)).json()["runs"]
            done, failed, live = (one["run_id"] for one in made)
            for run_id in (done, failed):
                await within(http.get(f"{API}/runs/{run_id}/events?sse=true"))
            yield Served(server.url, [done, failed], live)
            await http.post(f"{API}/runs:bulk", json={"action": "cancel", "dry_run": False})
        finally:
            await server.end()


def ask(served: Served, mode: GenerationMode, examples: int, checks: list[Any]) -> int:
    """Each operation in turn; how many were asked."""
    asked = 0
    for found in served.schema.get_all_operations():
        one = found.ok()
        if one.path == ENDLESS or (mode is GenerationMode.NEGATIVE and not (one.query or one.body)):
            continue
        ask_one(one, served.cases(one, mode), examples, checks)
        asked += 1
    return asked


def ask_one(one: Any, cases: st.SearchStrategy[Any], examples: int, checks: list[Any]) -> None:
    by_value = one.path in BY_VALUE and one.method.upper() == "POST"
    wanted = [check for check in checks if not (by_value and check is positive_data_acceptance)]

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def answers_as_described(case: Any) -> None:
        case.call_and_validate(checks=wanted, timeout=ASKED_S)

    answers_as_described()


async def test_what_fits_the_description_is_answered_as_it_says(served: Served) -> None:
    checks = [*CONFORMS, positive_data_acceptance]
    assert await asyncio.to_thread(ask, served, GenerationMode.POSITIVE, EXAMPLES, checks) == 24


async def test_what_does_not_fit_the_description_is_refused_as_it_says(served: Served) -> None:
    checks = [*CONFORMS, negative_data_rejection]
    assert await asyncio.to_thread(ask, served, GenerationMode.NEGATIVE, EXAMPLES, checks) == 12


async def test_what_an_answer_leads_to_is_there(served: Served) -> None:
    """Each link of the description, with the run that the answer names. A random walk takes some links only."""
    wishes = {
        "post_runs": (f"{API}/runs", {"workflow": SPREAD, "event": {"parts": 2}}),
        "post_runs_run_id_rerun": (f"{API}/runs/{served.ended[0]}/rerun", {}),
    }
    async with httpx.AsyncClient(base_url=served.url, timeout=ASKED_S) as client:
        described = (await client.get(f"{API}/openapi.json")).json()["paths"]
        operations = {one["operationId"]: (path, one) for path, of in described.items() for one in of.values()}
        linking = {name: one["responses"]["200"].get("links") for name, (_, one) in operations.items()}
        assert {name for name, links in linking.items() if links} == set(wishes)
        for name, (path, wish) in wishes.items():
            answer = (await client.post(path, json=wish)).raise_for_status().json()
            assert len(linking[name]) == 5
            for link in linking[name].values():
                assert link["parameters"] == {"run_id": "$response.body#/run_id"}
                leads_to, _ = operations[link["operationId"]]
                asked = await client.get(leads_to.replace("{run_id}", answer["run_id"]))
                assert asked.status_code == 200, (link["operationId"], asked.text)


ODD = ("%00", "%0A", "..%2Fruns", "a%2Fb", "%F0%9F%98%80", "%ED%A0%80", "%25", "*", "[a-z]", "x" * 4_000)


async def test_a_run_with_an_odd_name_is_none(served: Served) -> None:
    async with httpx.AsyncClient(timeout=20) as http:
        for name in ODD:
            for part in ("", "/steps", "/state", "/events", "/logs"):
                answer = await http.get(f"{served.url}{API}/runs/{name}{part}")
                assert (answer.status_code, {*answer.json()}) == (404, {"error", "detail"}), name


async def test_whoever_asks_in_vain_is_told_so_in_the_same_form(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url + API, timeout=20) as http:
        for path in ("/nothing", "/runs/a/b/c", "/"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["error"]) == (404, "NoSuchRoute")
        for path, allowed in (
            ("/runs", {"GET", "HEAD", "POST"}),
            ("/runs:bulk", {"POST"}),
            ("/livez", {"GET", "HEAD"}),
        ):
            answer = await http.put(path)
            assert (answer.status_code, answer.json()["error"]) == (405, "MethodNotAllowed")
            assert set(answer.headers["allow"].split(", ")) == allowed
        assert (await http.head("/runs")).status_code == 200
        assert (await http.head(f"{served.url}/health")).status_code == 200


async def test_what_stands_before_the_routes_refuses_as_described(alone: Stage) -> None:
    options = {"token": "t", "read_token": "look", "allowed_hosts": ("127.0.0.1",), "max_body_bytes": 50, "rate": 4}
    asked = (
        (401, {}, b"{}"),
        (403, {"authorization": "Bearer look"}, b"{}"),
        (413, {"authorization": "Bearer t"}, b"{" + b" " * 90 + b"}"),
        (421, {"host": "elsewhere"}, b"{}"),
        (431, {"x-much": "x" * 40_000}, b"{}"),
        (415, {"authorization": "Bearer t", "content-type": "text/plain"}, b"{}"),
        (422, {"authorization": "Bearer t"}, b"{}"),
    )
    server = await ServerThread(alone.settings, FLOWS, **options).begin()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
            described = await http.get(f"{API}/openapi.json", headers={"authorization": "Bearer t"})
            found = described.json()["paths"][f"{API}/runs"]["post"]["responses"]
            for status, headers, body in asked:
                named = {"content-type": "application/json", **headers}
                answer = await http.post(f"{API}/runs", content=body, headers=named)
                assert answer.status_code == status, answer.text
                assert {*answer.json()} == {"error", "detail"}
                assert "Problem" in str(found[str(status)])
            answers = await asyncio.gather(*(http.get(f"{API}/runs") for _ in range(40)))
            assert {*next(one for one in answers if one.status_code == 429).json()} == {"error", "detail"}
    finally:
        await server.end()


async def test_a_server_without_its_namespace_lives_and_is_not_ready() -> None:
    gone = Settings(url="redis://127.0.0.1:1", connect_timeout_ms=200)
    server = await ServerThread(gone, FLOWS).begin()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
            assert (await http.get("/livez")).status_code == 200
            for prefix in ("", API):
                answer = await http.get(f"{prefix}/readyz")
                assert (answer.status_code, answer.json()["status"]) == (503, "unreachable")
            answer = await http.get(f"{API}/runs")
            assert (answer.status_code, answer.json()["error"]) == (503, "ServerUnreachableError")
    finally:
        await server.end()

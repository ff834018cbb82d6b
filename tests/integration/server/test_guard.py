"""Who may do what over HTTP, from where, and how much of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from broker_wf.server import ServerOptions, WorkflowServer
from broker_wf.server.auth import COOKIE, Guard, Role
from broker_wf.server.limits import Limited
from tests.apps.answering import Asking, Note, Plain
from tests.integration.server.serving import HttpServer
from tests.integration.stage import Stage

START = "/workflows/plain/run-nowait"


@asynccontextmanager
async def server(stage: Stage, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    flows = [Plain(broker=stage.settings, workflow_name="plain")]
    async with (
        HttpServer(stage.settings, flows, ServerOptions(**options)) as one,
        httpx.AsyncClient(base_url=one.url, timeout=20) as http,
    ):
        yield http


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_token_is_asked_for_and_a_reader_may_only_look(alone: Stage) -> None:
    async with server(alone, token="secret", read_token="look") as http:
        assert (await http.get("/handlers")).status_code == 401
        assert (await http.get("/api/v1/runs", headers=bearer("wrong"))).status_code == 401
        for path in ("/health", "/livez", "/"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get("/handlers", headers=bearer("look"))).status_code == 200
        assert (await http.post(START, json={}, headers=bearer("look"))).status_code == 403
        assert (await http.post(START, json={}, headers=bearer("secret"))).status_code == 200


async def test_the_page_gets_a_cookie_that_no_script_reads_and_no_other_site_sends(alone: Stage) -> None:
    async with server(alone, token="secret") as http:
        assert (await http.post("/page/login", json={"token": "wrong"})).status_code == 401
        assert (await http.post("/page/login", content=b"{")).status_code == 401
        assert (await http.get("/page/login")).json() == {"role": "none"}
        answer = await http.post("/page/login", json={"token": "secret"})
        assert answer.json() == {"role": "write"}
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secret" not in cookie
        assert (await http.get("/page/login")).json() == {"role": "write"}
        assert (await http.post(START, json={})).status_code == 200
        foreign = {"origin": "https://example.org"}
        assert (await http.post(START, json={}, headers=foreign)).status_code == 403
        await http.delete("/page/login")
        assert (await http.get("/handlers")).status_code == 401


def test_a_session_ends_with_its_time_and_with_its_token() -> None:
    guard = Guard(ServerOptions(token="secret"))
    assert guard.role_of_cookie(guard.session("secret")) is Role.WRITE
    assert guard.role_of_cookie(guard.session("another")) is Role.NONE
    until, _, signature = guard.session("secret").partition(".")
    assert guard.role_of_cookie(f"{int(until) + 1}.{signature}") is Role.NONE
    assert guard.role_of_cookie(f"1.{signature}") is Role.NONE
    assert COOKIE not in guard.session("secret")


async def test_a_read_only_server_starts_nothing(alone: Stage) -> None:
    async with server(alone, read_only=True) as http:
        assert (await http.get("/handlers")).status_code == 200
        assert (await http.post(START, json={})).status_code == 403


async def test_other_sites_reach_nothing_without_leave_and_get_no_credentials_with_it(alone: Stage) -> None:
    async with server(alone, allowed_hosts=("127.0.0.1",), allowed_origins=("https://ours.example",)) as http:
        assert (await http.get("/handlers", headers={"host": "rebound.example"})).status_code == 421
        foreign = await http.post(START, json={}, headers={"origin": "https://theirs.example"})
        assert foreign.status_code == 403
        assert "access-control-allow-origin" not in foreign.headers
        ours = await http.post(START, json={}, headers={"origin": "https://ours.example"})
        assert ours.status_code == 200
        assert ours.headers["access-control-allow-origin"] == "https://ours.example"
        assert "access-control-allow-credentials" not in ours.headers
        assert ours.headers["content-security-policy"].startswith("default-src 'none'")
        assert ours.headers["x-content-type-options"] == "nosniff"


async def test_bodies_and_headers_have_limits_whether_their_size_is_told_or_not(alone: Stage) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    async with server(alone, max_body_bytes=1_000, max_header_bytes=2_000) as http:
        assert (await http.post(START, content=b" " * 1_001)).status_code == 413
        assert (await http.post(START, content=parts())).status_code == 413
        assert (await http.get("/handlers", headers={"x-large": "x" * 2_000})).status_code == 431
        assert (await http.post(START, json={})).status_code == 200


class Still:
    """A clock that is turned by hand."""

    at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.at_ms += duration_ms


async def test_an_address_that_asks_too_often_is_refused_until_time_has_passed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    clock = Still()
    limited = Limited(app, ServerOptions(rate=5), clock)
    transport = httpx.ASGITransport(limited)
    async with httpx.AsyncClient(base_url="http://here", transport=transport) as http:

        async def codes(count: int) -> list[int]:
            return [(await http.get("/")).status_code for _ in range(count)]

        assert await codes(12) == [200] * 10 + [429] * 2
        clock.at_ms = 400
        assert await codes(3) == [200, 200, 429]


async def test_the_original_constructor_serves_workflows_under_names_of_their_own(alone: Stage) -> None:
    made = WorkflowServer(accept_context_api=True, sse_heartbeat_interval=None, broker=alone.settings)
    made.add_workflow("first", Plain(broker=alone.settings), [Note])
    made.add_workflow("second", Asking(broker=alone.settings))
    assert set(made.get_workflows()) == {"first", "second"}
    assert made.additional_events == {"first": (Note,)}
    assert made.serializer is None
    transport = httpx.ASGITransport(made.app)
    async with made.contextmanager(), httpx.AsyncClient(base_url="http://here", transport=transport) as http:
        data = (await http.post("/workflows/first/run", json={})).json()
        assert (data["workflow_name"], data["result"]["value"]["result"]["count"]) == ("first", 1)
        schemas = (await http.get("/workflows/first/events")).json()["events"]
        assert "Note" in {one["title"] for one in schemas}
        saved = {"state": {"state_type": "DictState", "state_module": "x", "state_data": {"_data": {"count": "41"}}}}
        data = (await http.post("/workflows/first/run", json={"context": saved})).json()
        assert data["result"]["value"]["result"]["count"] == 42
        assert (await http.post("/workflows/first/run", json={"context": [1]})).status_code == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_server_of_the_network_needs_a_token(host: str) -> None:
    from click.testing import CliRunner

    from broker_wf.cli.failures import CommandError
    from broker_wf.cli.serve import serve

    ended = CliRunner().invoke(serve, ["--host", host])
    assert isinstance(ended.exception, CommandError)
    assert "no token" in str(ended.exception)

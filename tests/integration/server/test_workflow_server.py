"""``WorkflowServer``, the class of the original's server: its constructor, its methods, what its routes say they do."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import redis
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from broker_wf.server import WorkflowServer
from tests.apps.answering import Asking, Plain
from tests.integration.stage import Stage, within

SIGNATURE = (
    "(*, middleware=None, exception_handlers=None, workflow_store=None, persistence_backoff=(0.5, 3.0), runtime=None, "
    "idle_timeout=60.0, sse_heartbeat_interval=25.0, accept_context_api=False, serializer=None"
)


@asynccontextmanager
async def serving(made: WorkflowServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server in this process."""
    transport = httpx.ASGITransport(made.app, raise_app_exceptions=False)
    async with made.contextmanager(), httpx.AsyncClient(base_url="http://here", transport=transport) as http:
        yield http


def server(stage: Stage, **options: Any) -> WorkflowServer:
    made = WorkflowServer(broker=stage.settings, **options)
    made.add_workflow("plain", Plain(broker=stage.settings))
    made.add_workflow("asking", Asking(broker=stage.settings))
    return made


def test_the_constructor_and_the_methods_are_those_of_the_original() -> None:
    parameters = inspect.signature(WorkflowServer).parameters
    ours = ", ".join(f"{name}={one.default!r}" for name, one in parameters.items())
    assert f"(*, {ours}".startswith(SIGNATURE)
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters.values())
    assert list(inspect.signature(WorkflowServer.add_workflow).parameters) == [
        "self",
        "name",
        "workflow",
        "additional_events",
    ]
    serve = inspect.signature(WorkflowServer.serve).parameters
    assert {name: one.default for name, one in serve.items() if name != "self"} == {
        "host": "localhost",
        "port": 80,
        "uvicorn_config": None,
    }
    assert all(hasattr(WorkflowServer, name) for name in ("get_workflows", "start", "stop", "contextmanager"))


async def test_the_schema_describes_every_route_and_what_it_answers(alone: Stage) -> None:
    made = server(alone)
    schema: dict[str, Any] = made.openapi_schema()
    assert (schema["openapi"], schema["info"]["title"]) == ("3.0.0", "Workflows API")
    described = {(method.upper(), path) for path, one in schema["paths"].items() for method in one}
    assert described == {
        ("GET", "/health"),
        ("GET", "/workflows"),
        ("POST", "/workflows/{name}/run"),
        ("POST", "/workflows/{name}/run-nowait"),
        ("GET", "/workflows/{name}/schema"),
        ("GET", "/workflows/{name}/events"),
        ("GET", "/workflows/{name}/representation"),
        ("GET", "/handlers"),
        ("GET", "/handlers/{handler_id}"),
        ("GET", "/results/{handler_id}"),
        ("GET", "/events/{handler_id}"),
        ("POST", "/events/{handler_id}"),
        ("POST", "/handlers/{handler_id}/cancel"),
    }
    named = set(re.findall(r"#/components/schemas/(\w+)", str(schema)))
    assert named <= schema["components"]["schemas"].keys()
    handler = schema["components"]["schemas"]["Handler"]
    async with serving(made) as http:
        data = (await http.post("/workflows/plain/run", json={})).json()
        assert set(handler["required"]) <= data.keys()
        assert set(handler["properties"]) <= data.keys()
        assert data["status"] in handler["properties"]["status"]["enum"]
        events = schema["components"]["schemas"]["EventEnvelopeWithMetadata"]
        assert data["result"].keys() == events["properties"].keys()
        running = (await http.post("/workflows/asking/run-nowait", json={})).json()
        for answer, code in (
            (await http.get("/health"), 200),
            (await http.get(f"/handlers/{running['handler_id']}"), 202),
            (await http.get("/results/none"), 404),
            (await http.post("/events/none", json={}), 400),
            (await http.post(f"/handlers/{running['handler_id']}/cancel"), 200),
        ):
            path = re.sub(r"/(handlers|results|events)/[^/]+", r"/\1/{handler_id}", answer.request.url.path)
            operation = schema["paths"][path][answer.request.method.lower()]
            assert answer.status_code == code
            assert str(code) in operation["responses"]


async def test_a_result_that_cannot_be_read_is_told_as_such(alone: Stage) -> None:
    async with serving(server(alone)) as http:
        done = (await http.post("/workflows/plain/run", json={})).json()["handler_id"]
        with redis.Redis.from_url(alone.url) as client:
            client.hset(alone.keys.of("run", done), "result", b"\x10\xc1")
        for path in (f"/handlers/{done}", f"/results/{done}"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (422, "Stored handler result cannot be decoded")
        (listed,) = (await http.get("/handlers")).json()["handlers"]
        assert (listed["result_unreadable"], listed["result"], listed["status"]) == (True, None, "completed")


async def test_a_server_whose_redis_is_away_is_unhealthy() -> None:
    made = WorkflowServer(broker="redis://127.0.0.1:1")
    transport = httpx.ASGITransport(made.app)
    async with httpx.AsyncClient(base_url="http://here", transport=transport) as http:
        answer = await within(http.get("/health", timeout=None))
    assert (answer.status_code, answer.json()) == (503, {"status": "unhealthy"})


class Stamp:
    """Middleware of a user's own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-stamp", b"mine")]
            await send(message)

        await self.app(scope, receive, stamped)


async def test_middleware_and_exception_handlers_of_ones_own_are_used(alone: Stage) -> None:
    async def not_there(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"mine": request.url.path}, 404)

    made = server(alone, middleware=[Middleware(Stamp)], exception_handlers={404: not_there})
    async with serving(made) as http:
        answer = await http.get("/workflows/none/schema")
    assert (answer.status_code, answer.json(), answer.headers["x-stamp"]) == (
        404,
        {"mine": "/workflows/none/schema"},
        "mine",
    )

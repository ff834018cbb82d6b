"""The app: all routes, behind what guards them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker_wf.configuration import current_settings
from broker_wf.server import api, llama_index, page
from broker_wf.server.api.endpoint import no_such_route
from broker_wf.server.auth import Guard, Guarded, session_routes
from broker_wf.server.leaving import Leaving
from broker_wf.server.limits import Limited
from broker_wf.server.llama_index.answers import HANDLERS
from broker_wf.server.options import ServerOptions
from broker_wf.server.page.debugger import debugger_routes
from broker_wf.server.segments import Segmented
from broker_wf.server.service import Served, Service
from broker_wf.settings import Settings
from broker_wf.workflow import Workflow

Workflows = Iterable[Workflow] | Mapping[str, Workflow]

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def create_app(
    workflows: Workflows = (), *, broker: Settings | str | None = None, options: ServerOptions | None = None
) -> Starlette:
    """An app to serve, or to mount in another one.

    It holds no state: any number of them may serve one namespace, and a restart loses nothing. Runs execute on the
    workers of their workflows; in this process only where no server is configured at all.

    Args:
        workflows: that can be started here: by their own names, or by those that a mapping gives them.
        broker: as a workflow's: settings, or the URL; None: what ``configure()`` and the environment say.
        options: how it answers, and to whom. Without them everybody who reaches it may do everything.
    """
    mapped = isinstance(workflows, Mapping)
    named = dict(cast("Mapping[str, Workflow]", workflows)) if mapped else {one.workflow_name: one for one in workflows}
    service = Service(settings=current_settings(broker), options=options or ServerOptions())
    for name, workflow in named.items():
        service.add(Served(name=name, workflow=workflow))
    return app_of(service)


def app_of(service: Service) -> Starlette:
    """The app of a service; ``app.state.service`` is the service."""
    options, guard = service.options, Guard(service.options)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        # What is open in this event loop closes with it, for others in the process may use it too.
        try:
            yield
        finally:
            service.draining.set()

    middleware = [Middleware(_layer(lambda app: Leaving(app, service))), Middleware(_layer(_Headed))]
    if options.allowed_origins:
        open_to = list(options.allowed_origins)
        middleware.append(Middleware(CORSMiddleware, allow_origins=open_to, allow_methods=["*"], allow_headers=["*"]))
    middleware.append(Middleware(_layer(lambda app: Limited(app, options))))
    middleware += [Middleware(_layer(lambda app: Guarded(app, guard))), Middleware(_layer(Segmented))]
    app = Starlette(
        routes=_routes(service, guard),
        middleware=middleware,
        exception_handlers={**HANDLERS, HTTPException: _unanswered},
        lifespan=lifespan,
    )
    app.state.service = service
    return app


def _routes(service: Service, guard: Guard) -> list[BaseRoute]:
    """Every list of routes; the first that fits answers."""
    ours = [*session_routes(guard), *api.routes(service), *api.probe_routes(service)]
    return [*llama_index.routes(service), *ours, *debugger_routes(service.options.debugger_assets), *page.page_routes()]


async def _unanswered(request: Request, error: Exception) -> Response:
    """In the form of the API that was asked."""
    path = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    inside = path.startswith(api.PREFIX + "/")
    return await (no_such_route if inside else HANDLERS[HTTPException])(request, error)


def _layer(make: Callable[[ASGIApp], ASGIApp]) -> Callable[[ASGIApp], ASGIApp]:
    return make


class _Headed:
    """Adds what keeps a browser from taking an answer for something else, where the answer does not say itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_headed if scope["type"] == "http" else send)

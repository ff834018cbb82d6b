"""A server with the API and the page, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future

import uvicorn
from starlette.applications import Starlette

from broker_wf import Workflow
from broker_wf.home import Home, close_homes, home_of
from broker_wf.server.api import probe_routes, routes
from broker_wf.server.page import page_routes
from broker_wf.settings import Settings
from tests.integration.stage import PATIENCE_S


class Hosted:
    """The host of the routes."""

    def __init__(self, settings: Settings, flows: tuple[type[Workflow], ...]) -> None:
        self._settings = settings
        made = [flow(broker=settings) for flow in flows]
        self.workflows: Mapping[str, Workflow] = {one.workflow_name: one for one in made}

    async def home(self) -> Home:
        return await home_of(self._settings)


class ServerThread(threading.Thread):
    """Serves until it is ended; ``url`` is where."""

    def __init__(self, settings: Settings, flows: tuple[type[Workflow], ...]) -> None:
        super().__init__(name="test-server", daemon=True)
        self._settings, self._flows = settings, flows
        self._up: Future[None] = Future()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def begin(self) -> ServerThread:
        self.start()
        await asyncio.wrap_future(self._up)
        return self

    async def end(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        await asyncio.to_thread(self.join, PATIENCE_S)
        assert not self.is_alive(), "the server did not stop"

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        host = Hosted(self._settings, self._flows)
        app = Starlette(routes=[*routes(host), *probe_routes(host), *page_routes()])
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        self._up.set_result(None)  # the socket listens already
        await self._server.serve(sockets=[self._socket])
        await close_homes()

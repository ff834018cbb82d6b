"""A server with the API and the page, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from broker_wf import Workflow
from broker_wf.home import close_homes
from broker_wf.server.app import create_app
from broker_wf.server.options import ServerOptions
from broker_wf.server.serving import server_for
from broker_wf.settings import Settings
from tests.integration.stage import PATIENCE_S


class ServerThread(threading.Thread):
    """Serves until it is ended; ``url`` is where."""

    def __init__(self, settings: Settings, flows: tuple[Callable[..., Workflow], ...], **options: Any) -> None:
        super().__init__(name="test-server", daemon=True)
        self._settings, self._flows, self._options = settings, flows, ServerOptions(**options)
        self._up: Future[None] = Future()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def begin(self) -> ServerThread:
        self.start()
        await asyncio.wrap_future(self._up)
        return self

    async def end(self) -> None:
        self._server.should_exit = True
        await asyncio.to_thread(self.join, PATIENCE_S)
        assert not self.is_alive(), "the server did not stop"

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        app = create_app(
            [flow(broker=self._settings) for flow in self._flows], broker=self._settings, options=self._options
        )
        self._server = server_for(app, app.state.service, "127.0.0.1", 0, {"log_level": "warning"})
        self._up.set_result(None)  # the socket listens already
        await self._server.serve(sockets=[self._socket])
        await close_homes()

"""A real HTTP server in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any

from broker_wf.server import ServerOptions, create_app
from broker_wf.server.serving import DrainingServer, server_for
from broker_wf.settings import Settings

PATIENCE_S = 30.0


class HttpServer(threading.Thread):
    """Serves until it is ended; ``url`` is where."""

    def __init__(self, settings: Settings, flows: Any, options: ServerOptions | None = None) -> None:
        super().__init__(name="test-server", daemon=True)
        self._settings, self._flows, self._options = settings, flows, options
        self._up: Future[None] = Future()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: DrainingServer

    async def __aenter__(self) -> HttpServer:
        self.start()
        await asyncio.wrap_future(self._up)
        return self

    async def __aexit__(self, *of_error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """As a signal does."""
        self.server.should_exit = True
        await asyncio.to_thread(self.join, PATIENCE_S)
        assert not self.is_alive(), "the server did not stop"

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        app = create_app(self._flows, broker=self._settings, options=self._options)
        self.server = server_for(app, app.state.service, "127.0.0.1", self.port, {"log_level": "critical"})
        self._up.set_result(None)  # the socket listens already
        await self.server.serve(sockets=[self._socket])

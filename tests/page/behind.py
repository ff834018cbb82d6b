"""A proxy that mounts a server under a prefix, and takes the prefix off before it passes requests on."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.integration.stage import PATIENCE_S

_NOT_PASSED_ON = ("connection", "transfer-encoding")


class Proxy(threading.Thread):
    """Stands in front until it is ended; ``url`` is where the server is to be found, with the prefix."""

    def __init__(self, target: str, prefix: str) -> None:
        super().__init__(name="test-proxy", daemon=True)
        self._target, self._prefix = target, prefix
        self._up: Future[None] = Future()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = self.origin + prefix

    async def begin(self) -> Proxy:
        self.start()
        await asyncio.wrap_future(self._up)
        return self

    async def end(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True  # a stream that is passed on has no end of its own
        await asyncio.to_thread(self.join, PATIENCE_S)
        assert not self.is_alive(), "the proxy did not stop"

    def run(self) -> None:
        config = uvicorn.Config(self, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._up.set_result(None)  # the socket listens already
        asyncio.run(self._server.serve(sockets=[self._socket]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("ascii")
        if not path.startswith(f"{self._prefix}/"):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body"})
            return
        body = b""
        while (part := await receive())["type"] == "http.request":
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        query = scope["query_string"].decode("ascii")
        url = f"{self._target}{path.removeprefix(self._prefix)}{query and '?'}{query}"
        async with (
            httpx.AsyncClient(timeout=None) as client,
            client.stream(scope["method"], url, headers=scope["headers"], content=body) as answer,
        ):
            headers = [(k, v) for k, v in answer.headers.raw if k.decode().lower() not in _NOT_PASSED_ON]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})

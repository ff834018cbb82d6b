"""A link to the server that carries out what is asked and sometimes loses the answer."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from urllib.parse import urlsplit


class LosingLink(threading.Thread):
    """Listens on a unix socket; drops ``share`` of the replies and closes the connection then.

    What was asked has been executed by that time: the reply is what gets lost.

    Attributes:
        share: of all replies; 0 at first.
        lost: how many there were.
    """

    def __init__(self, server_url: str, directory: Path, *, seed: int) -> None:
        super().__init__(name="losing-link", daemon=True)
        self.url = f"unix://{directory / 'p.sock'}"
        self.lost = 0
        self._server = urlsplit(server_url).path
        self.share = 0.0
        self._chance = random.Random(seed)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()

    def begin(self) -> None:
        self.start()
        assert self._ready.wait(10)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(10)

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = asyncio.start_unix_server(self._serve, urlsplit(self.url).path)
        server = self._loop.run_until_complete(listening)
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        tasks = [
            asyncio.ensure_future(self._forward(reader, to_server, is_reply=False)),
            asyncio.ensure_future(self._forward(from_server, writer, is_reply=True)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The link ends; asyncio reports connections that do not end by themselves.
            return
        finally:
            for task in tasks:
                task.cancel()
            writer.close()
            to_server.close()

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_reply: bool) -> None:
        while data := await source.read(1 << 16):
            if is_reply and self._chance.random() < self.share:
                self.lost += 1
                return
            target.write(data)
            await target.drain()

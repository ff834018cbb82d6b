"""Links to the server on which things go wrong."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from urllib.parse import urlsplit

LOOK_S = 0.01
TURNS = 5
"""Of the loop, in which what has begun to open or to close a connection is through with it."""


class Link(threading.Thread):
    """Listens on a unix socket and passes on what comes, both ways.

    Attributes:
        dark: nothing gets through, and nobody is told: what is sent arrives when there is light again.
    """

    def __init__(self, server_url: str, directory: Path, name: str = "p") -> None:
        super().__init__(name=f"link-{name}", daemon=True)
        self.url = f"unix://{directory / name}.sock"
        self.dark = False
        self._server = urlsplit(server_url).path
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()

    def begin(self) -> None:
        self.start()
        assert self._ready.wait(10)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(10)

    def cut(self) -> None:
        """End all connections there are."""

        def abort() -> None:
            for writer in list(self._open):
                writer.transport.abort()

        self._loop.call_soon_threadsafe(abort)

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = asyncio.start_unix_server(self._serve, urlsplit(self.url).path)
        server = self._loop.run_until_complete(listening)
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end_all(server))
        self._loop.close()

    async def _end_all(self, server: asyncio.Server) -> None:
        # A server that closes while it lets somebody in forgets that connection: first nobody is let in any more.
        for listening in server.sockets:
            self._loop.remove_reader(listening.fileno())
        # Who was let in at the very last has a task that has not begun: what ends it would lose the connection.
        for _ in range(TURNS):
            await asyncio.sleep(0)
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._server)
        except OSError:
            # There is no server now: whoever has come is let go.
            writer.close()
            return
        self._open.add(writer)
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
            self._open.discard(writer)
            for task in tasks:
                task.cancel()
            writer.close()
            to_server.close()

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_reply: bool) -> None:
        try:
            while data := await source.read(1 << 16):
                if not await self._passes(is_reply=is_reply):
                    return
                target.write(data)
                await target.drain()
        except ConnectionError:
            return

    async def _passes(self, *, is_reply: bool) -> bool:
        """Whether what has come goes on; returns when it may."""
        while self.dark:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(LOOK_S)
        return True


class LosingLink(Link):
    """Drops ``share`` of the replies and closes the connection then.

    What was asked has been executed by that time: the reply is what gets lost.

    Attributes:
        share: of all replies; 0 at first.
        lost: how many there were.
    """

    def __init__(self, server_url: str, directory: Path, *, seed: int) -> None:
        super().__init__(server_url, directory)
        self.seed = seed
        self.lost = 0
        self.share = 0.0
        self._chance = random.Random(seed)

    async def _passes(self, *, is_reply: bool) -> bool:
        if is_reply and self._chance.random() < self.share:
            self.lost += 1
            return False
        return True


class SlowLink(Link):
    """Holds each reply up for a while, by chance."""

    def __init__(self, server_url: str, directory: Path, *, seed: int, between_s: tuple[float, float]) -> None:
        super().__init__(server_url, directory)
        self._chance, self._between_s = random.Random(seed), between_s

    async def _passes(self, *, is_reply: bool) -> bool:
        if is_reply:
            await asyncio.sleep(self._chance.uniform(*self._between_s))
        return True

"""A server of a version that is too old, as far as anybody asks it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

_FACTS = b"redis_version:6.2.14\r\nrole:master\r\n"
_ASKED = re.compile(rb"(?i)\b(info|client|hello|select|auth)\b")


class _Talk(asyncio.Protocol):
    def __init__(self, talks: set[_Talk]) -> None:
        self._talks = talks
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._talks.add(self)

    def data_received(self, data: bytes) -> None:
        for word in _ASKED.findall(data):
            is_info = word.lower() == b"info"
            self._transport.write(b"$%d\r\n%s\r\n" % (len(_FACTS), _FACTS) if is_info else b"+OK\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)

    def hang_up(self) -> None:
        self._transport.abort()


@asynccontextmanager
async def old_server(port: int = 0) -> AsyncGenerator[str]:
    """Answers at a port of this machine, any if none is given, as Redis 6.2 does. Gives its URL.

    At the end it hangs up on all and waits until that has happened, for an event loop that ends before would leave
    connections to the garbage collector, whose warnings fall upon any test.
    """
    talks = set[_Talk]()
    server = await asyncio.get_running_loop().create_server(lambda: _Talk(talks), "127.0.0.1", port)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.05)  # Whoever was let in just now is among them then.
        for one in talks:
            one.hang_up()
        await asyncio.gather(*(one.over for one in talks))

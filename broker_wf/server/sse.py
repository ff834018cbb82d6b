"""Answers that go on for long: JSON in one line of ASCII, and a response that is never cut off as if it were whole."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator

from pydantic_core import from_json, to_json
from starlette.types import Receive, Scope, Send

STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
LAST_SEQ = 10**18
"""More than any feed has, and a number that a stream's id can be."""
HEARTBEAT = b": heartbeat\n\n"

_strict = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
"""ASCII alone: clients split streams at U+2028 and its like, which may stand in JSON as they are."""


def ascii_json(value: object) -> bytes:
    """The value as JSON; what is no number there becomes null, and what has no form there text."""
    try:
        return _strict.encode(value).encode()
    except (ValueError, TypeError):
        return _strict.encode(from_json(to_json(value, inf_nan_mode="null", fallback=str))).encode()


def sequence_of(text: str) -> int | None:
    """The number that a client has seen last, or one behind all there are; None: the text is no number."""
    if not re.fullmatch("-?[0-9]+", text):
        return None
    return int(text) if len(text) < len(str(LAST_SEQ)) else LAST_SEQ


def sse_event(seq: int | None, payload: bytes) -> bytes:
    """An event of a stream, whose payload is one line."""
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%sdata: %s\n\n" % (head, payload)


class LiveResponse:
    """A response whose end is worth something: it comes only if the chunks have ended.

    When the server drains, the connection is dropped instead, and a client asks again, elsewhere, from where it was.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        draining: asyncio.Event,
        quiet: bytes = b"",
        quiet_s: float | None = None,
    ) -> None:
        """Take what is to be sent.

        Args:
            draining: set when the server is about to stop.
            quiet: sent when there was no chunk for ``quiet_s``.
        """
        self._chunks, self._draining = chunks, draining
        self._quiet, self._quiet_s = quiet, quiet_s
        named = {"content-type": media_type, **STREAM_HEADERS}
        self._headers = [(name.encode(), value.encode()) for name, value in named.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks."""
        leaving: set[asyncio.Future[object]] = {
            asyncio.ensure_future(_gone(receive)),
            asyncio.ensure_future(_set(self._draining)),
        }
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            if await self._send_all(send, leaving):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            return
        finally:
            for task in leaving:
                task.cancel()
            await self._chunks.aclose()

    async def _send_all(self, send: Send, leaving: set[asyncio.Future[object]]) -> bool:
        """Whether all of them were sent."""
        while True:
            coming = asyncio.ensure_future(anext(self._chunks))
            try:
                while not coming.done():
                    done, _ = await asyncio.wait(
                        {coming, *leaving}, timeout=self._quiet_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    if done & leaving:
                        return False
                    if not done:
                        await send({"type": "http.response.body", "body": self._quiet, "more_body": True})
                chunk = coming.result()
            except StopAsyncIteration:
                return True
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait([coming])
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> object:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return None


async def _set(event: asyncio.Event) -> object:
    """Wait until it is set."""
    return await event.wait()

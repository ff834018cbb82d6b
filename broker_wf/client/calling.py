"""Requests to ``/api/v1`` that are made again while the server does not answer, and streams that go on."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import cast
from urllib.parse import quote

import httpx
from pydantic_core import from_json

from broker_wf.client.refusals import refusal_of
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.errors import ServerUnreachableError

_AGAIN = (502, 503, 504)
_TOO_MANY = 429
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 50, 2_000
_CONNECT_S, _ANSWER_S, _QUIET_S = 5.0, 30.0, 45.0
"""A stream says every 15 s that it lives."""
Answer = Mapping[str, object]
Query = Mapping[str, str | list[str]]


class _Lost(Exception):  # noqa: N818
    """The server did not answer, and may yet."""


class Caller:
    """Asks one server."""

    def __init__(self, url: str, token: str | None, patience_s: float, clock: Clock | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S))
        self._patience_ms, self._clock = round(1000 * patience_s), clock or SystemClock()

    @staticmethod
    def quoted(text: str) -> str:
        """A part of a path."""
        return quote(text, safe="")

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, object] | None = None,
        about: str = "",
        patient: bool = True,
    ) -> Answer:
        """The answer, an object.

        Args:
            about: the run that an error is about.
            patient: ask again while nobody answers; the request must be one that may come twice.

        Raises:
            ServerUnreachableError: nobody has answered.
            BrokerError: it was refused; see :func:`refusal_of`.
        """
        patience = _Patience(self._clock, self._patience_ms if patient else 0)
        while True:
            try:
                answer = await self._http.request(method, self._url_of(path), params=query, json=body)
                self._check(answer.status_code, answer.content, about)
                return cast(Answer, from_json(answer.content))
            except (httpx.TransportError, _Lost) as error:
                await patience.wait_or_raise(self._url, error)

    async def follow(
        self, path: str, query: Callable[[], Mapping[str, str]], about: str
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Name and data of each event of a stream until one is called ``end``; a connection that is lost is made anew.

        Args:
            query: asked for whenever the stream is opened.

        Raises as :meth:`ask`.
        """
        patience, timeout = _Patience(self._clock, self._patience_ms), httpx.Timeout(_QUIET_S, connect=_CONNECT_S)
        while True:
            try:
                async with self._http.stream("GET", self._url_of(path), params=query(), timeout=timeout) as answer:
                    if not answer.is_success:
                        self._check(answer.status_code, await answer.aread(), about)
                    async for name, data in _events(answer.aiter_bytes()):
                        patience.begin()
                        if name == "end":
                            return
                        if data:
                            yield name, data
                raise _Lost("the stream was cut off")
            except (httpx.TransportError, _Lost) as error:
                await patience.wait_or_raise(self._url, error)

    def _url_of(self, path: str) -> str:
        return f"{self._url}/api/v1{path}"

    def _check(self, status: int, content: bytes, about: str) -> None:
        if status < httpx.codes.BAD_REQUEST:
            return
        problem = _problem(content)
        kind, detail = str(problem.get("error", "")), str(problem.get("detail", ""))
        if status in _AGAIN or (status == _TOO_MANY and kind != "BackpressureError"):
            raise _Lost(f"it answered with status {status}" + (f": {detail}" if detail else ""))
        raise refusal_of(self._url, status, kind, detail, about)


class _Patience:
    """Waits longer and longer, and gives up once nothing has come for so long."""

    def __init__(self, clock: Clock, patience_ms: int) -> None:
        self._clock, self._patience_ms = clock, patience_ms
        self.begin()

    def begin(self) -> None:
        """Something has come."""
        self._pause_ms, self._give_up_ms = _FIRST_PAUSE_MS, self._clock.monotonic_ms() + self._patience_ms

    async def wait_or_raise(self, url: str, error: Exception) -> None:
        """Wait, or give up.

        Raises:
            ServerUnreachableError: it was long enough.
        """
        pause_ms = random.randint(self._pause_ms // 2, self._pause_ms)
        if self._clock.monotonic_ms() + pause_ms > self._give_up_ms:
            raise ServerUnreachableError(url, str(error) or type(error).__name__) from error
        await self._clock.sleep_ms(pause_ms)
        self._pause_ms = min(2 * self._pause_ms, _LONGEST_PAUSE_MS)


async def _events(parts: AsyncIterator[bytes]) -> AsyncGenerator[tuple[str, bytes], None]:
    """Server-sent events, split at line feeds alone: JSON may hold what else ends lines. A comment has no data."""
    rest = b""
    async for part in parts:
        *blocks, rest = (rest + part).split(b"\n\n")
        for block in blocks:
            name, data = "", b""
            for line in block.split(b"\n"):
                field, _, value = line.partition(b": ")
                if field == b"event":
                    name = value.decode()
                elif field == b"data":
                    data = value
            yield name, data


def _problem(content: bytes) -> dict[str, object]:
    try:
        found = cast(object, from_json(content))
    except ValueError:
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}

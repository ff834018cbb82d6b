"""What a request may cost before anybody looks at it: the size of its headers and body, and how many there may be."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker_wf.core.clock import Clock, SystemClock
from broker_wf.server.options import ServerOptions

_ADDRESSES = 10_000
_BURST_S = 2


class BodyTooLargeError(Exception):
    """More of a body has come than may."""


@dataclass(slots=True)
class Limited:
    """An app behind limits."""

    app: ASGIApp
    options: ServerOptions
    clock: Clock = field(default_factory=SystemClock)
    _spent: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict[str, "tuple[float, int]"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, send)
            return
        counted = _Counted(receive, self.options.max_body_bytes)
        try:
            await self.app(scope, counted, send)
        except BodyTooLargeError:
            await _too_large(self.options)(scope, receive, send)

    def _refusal(self, request: Request) -> JSONResponse | None:
        options = self.options
        if sum(len(name) + len(value) for name, value in request.headers.raw) > options.max_header_bytes:
            return _refused(431, "HeadersTooLarge", f"the headers have more than {options.max_header_bytes:,} bytes")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > options.max_body_bytes:
            return _too_large(options)
        if options.rate > 0 and not self._take(request.client.host if request.client else ""):
            refused = _refused(429, "TooManyRequests", f"more than {options.rate} requests per second")
            refused.headers["retry-after"] = "1"
            return refused
        return None

    def _take(self, address: str) -> bool:
        """Take one of an address's requests, which come back at the rate."""
        most, now_ms = float(self.options.rate * _BURST_S), self.clock.monotonic_ms()
        left, at_ms = self._spent.pop(address, (most, now_ms))
        left = min(most, left + (now_ms - at_ms) / 1000 * self.options.rate)
        self._spent[address] = (left - 1 if left >= 1 else left, now_ms)
        if len(self._spent) > _ADDRESSES:
            self._spent.popitem(last=False)
        return left >= 1


@dataclass(slots=True)
class _Counted:
    receive: Receive
    left_bytes: int

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left_bytes -= len(message.get("body", b""))
        if self.left_bytes < 0:
            raise BodyTooLargeError
        return message


def _too_large(options: ServerOptions) -> JSONResponse:
    return _refused(413, "BodyTooLarge", f"the body has more than {options.max_body_bytes:,} bytes")


def _refused(status: int, error: str, detail: str) -> JSONResponse:
    return JSONResponse({"error": error, "detail": detail}, status_code=status)

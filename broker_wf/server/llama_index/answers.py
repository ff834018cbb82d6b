"""Answers of that API: JSON in ASCII, and ``{"detail": …}`` for what went wrong."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from broker_wf.errors import (
    BackpressureError,
    BrokerError,
    RunNotFoundError,
    ServerRefusedError,
    ServerUnreachableError,
)
from broker_wf.server.sse import ascii_json


def json_answer(value: object, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(ascii_json(value), status_code=status, media_type="application/json")


async def refused(request: Request, error: Exception) -> Response:
    """What a route has refused."""
    assert isinstance(error, HTTPException)
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code)
    answer = json_answer({"detail": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def failed(request: Request, error: Exception) -> Response:
    """What the namespace has refused, or cannot do now."""
    if isinstance(error, RunNotFoundError):
        return json_answer({"detail": "Handler not found"}, 404)
    if isinstance(error, BackpressureError):
        return json_answer({"detail": str(error)}, 429)
    unreachable = isinstance(error, ServerUnreachableError | ServerRefusedError)
    return json_answer({"detail": str(error)}, 503 if unreachable else 500)


async def broken(request: Request, error: Exception) -> Response:
    """What nobody has foreseen; the error is raised again after this answer, and goes into the log."""
    return json_answer({"detail": "Internal server error"}, 500)


HANDLERS = {HTTPException: refused, BrokerError: failed, Exception: broken}

"""Parts of a path that hold slashes themselves, as ids of runs may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

_QUOTED = re.compile(rb"%2f", re.IGNORECASE)
_INSIDE = "\x1f"
"""Stands for a slash that does not divide; no id holds one, for it cannot be printed."""


class Segmented:
    """Finds the route of a request by its path as it was sent: a quoted slash is part of a name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        raw = cast("bytes", scope.get("raw_path") or b"") if scope["type"] == "http" else b""
        if _QUOTED.search(raw):
            scope = {**scope, "path": unquote(_QUOTED.sub(b"%1F", raw).decode("ascii", "replace"))}
        await self._app(scope, receive, send)


def part_of_path(request: Request, name: str) -> str:
    """A part of the path by the name it has in the route."""
    return cast("Mapping[str, str]", request.path_params)[name].replace(_INSIDE, "/")

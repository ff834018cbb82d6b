"""The debugger page of llama-agents-server, from files that the user has fetched: it is not ours to ship.

It finds the server at the origin it came from, so it does not work under a root path.
"""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/debugger/"
_FILES = {"app.js": "text/javascript", "app.css": "text/css"}
_INDEX = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Workflow Debugger</title><link rel="stylesheet" href="app.css"></head>
<body><div id="root"></div><script type="module" src="app.js"></script></body>
</html>
"""
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
        "worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FROM_ELSEWHERE = re.compile(rb"""@import\s*(?:url\(\s*)?(["'])(?:https?:)?//.*?\1\s*\)?[^;]*;""")


def assets_of(folder: Path) -> dict[str, bytes]:
    """The files of the page, without what its style sheet loads from elsewhere.

    Args:
        folder: that of the package, or its ``dist``.

    Raises:
        FileNotFoundError: they are not there.
    """
    found = next((one for one in (folder, folder / "dist", folder / "package" / "dist") if _is_it(one)), None)
    if found is None:
        raise FileNotFoundError(f"{folder} has no {' and '.join(_FILES)}, nor has a folder dist in it")
    read = {name: (found / name).read_bytes() for name in _FILES}
    return {**read, "app.css": _FROM_ELSEWHERE.sub(b"", read["app.css"])}


def _is_it(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def debugger_routes(folder: Path | None) -> list[Route]:
    """``/debugger/`` and its files; none without a folder.

    Raises:
        FileNotFoundError: as :func:`assets_of`.
    """
    if folder is None:
        return []
    files = assets_of(folder)

    async def index(request: Request) -> Response:
        return Response(_INDEX, media_type="text/html", headers=_HEADERS)

    async def file(request: Request) -> Response:
        name = str(request.path_params["name"])
        if name not in files:
            return Response(status_code=404)
        return Response(files[name], media_type=_FILES[name], headers=_HEADERS)

    return [Route(PATH, index), Route(PATH + "{name}", file)]

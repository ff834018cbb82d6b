"""The page's files over HTTP, without a browser."""

from __future__ import annotations

import httpx
import pytest_asyncio
from starlette.applications import Starlette

from broker_wf.server.page import page_routes


@pytest_asyncio.fixture
async def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=page_routes())), base_url="http://here")


async def test_a_file_is_sent_once_and_then_only_named(client: httpx.AsyncClient) -> None:
    first = await client.get("/page/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = await client.get("/page/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for answer in (first, again, await client.get("/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_nothing_but_the_files_of_the_page_is_sent(client: httpx.AsyncClient) -> None:
    for path in ("/page/serving.py", "/page/..%2fserving.py", "/page/../serving.py", "/page/", "/page/nothing.js"):
        assert (await client.get(path)).status_code == 404, path


async def test_the_page_names_no_other_origin(client: httpx.AsyncClient) -> None:
    for name in ("", "page/app.js", "page/app.css", "page/api.js", "page/runs.js", "page/run.js", "page/dom.js"):
        text = (await client.get("/" + name)).text
        assert "https://" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "innerHTML" not in text

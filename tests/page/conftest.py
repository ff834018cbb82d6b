"""A browser in front of a server, with workers behind it; skipped where there is no Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, Route, async_playwright

from broker_wf.settings import Settings
from tests.apps.shown import FLOWS, Flaky
from tests.integration.stage import Stage, WorkerThread
from tests.page.served import ServerThread

QUICK = {"lease_ms": 3_000, "sweep_ms": 200, "heartbeat_ms": 1_000, "drain_timeout_ms": 0}
PATIENCE_MS = 20_000.0
SERVED = (*FLOWS, Flaky)


def chromium_path() -> str | None:
    """Where the browser is."""
    named = os.environ.get("BROKER_WF_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = chromium_path()
    if found is None:
        pytest.skip("no chromium on PATH, and BROKER_WF_TEST_CHROMIUM names none")
    return found


@dataclass
class Site:
    """The page of a namespace.

    Attributes:
        complaints: what the browser has complained of: errors of scripts, refused loads.
        abroad: requests that went elsewhere than to the server; each was stopped.
    """

    url: str
    page: Page
    stage: Stage
    api: httpx.AsyncClient
    complaints: list[str] = field(default_factory=list[str])
    abroad: list[str] = field(default_factory=list[str])

    async def go(self, view: str) -> None:
        await self.page.goto(f"{self.url}/#/{view}")

    async def start(self, flow: type, **fields: Any) -> str:
        body = {"workflow": f"{flow.__module__}.{flow.__name__}", "event": fields}
        answer = await self.api.post("/api/v1/runs", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["run_id"]

    async def run(self, run_id: str) -> Any:
        return (await self.api.get(f"/api/v1/runs/{quote(run_id)}")).json()["run"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield one
        await one.close()


@pytest_asyncio.fixture(loop_scope="module")
async def site(server_url: str, namespace: str, browser: Browser) -> AsyncIterator[Site]:
    stage = Stage(Settings.load(url=server_url, namespace=namespace, **QUICK))
    for _ in range(2):
        worker = WorkerThread(stage.settings, lambda: [stage.flow(flow) for flow in SERVED])
        stage.workers.append(await worker.begin())
    server = await ServerThread(stage.settings, SERVED).begin()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as api:
            one = Site(server.url, await browser.new_page(), stage, api)
            await _watched(one)
            yield one
            await one.page.context.close()
            body = {"action": "cancel", "dry_run": False}
            assert (await api.post("/api/v1/runs:bulk", json=body)).status_code == 200
    finally:
        await server.end()
        await stage.clear()
    assert one.complaints == []
    assert one.abroad == []
    assert stage.audit() == []


async def _watched(site: Site) -> None:
    """Note every complaint, and let nothing out of the server's own origin."""

    async def only_here(route: Route) -> None:
        if route.request.url.startswith(f"{site.url}/"):
            await route.continue_()
        else:
            site.abroad.append(route.request.url)
            await route.abort()

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            site.complaints.append(message.text)

    def failed(error: Error) -> None:
        site.complaints.append(str(error))

    site.page.set_default_timeout(PATIENCE_MS)
    site.page.on("console", said)
    site.page.on("pageerror", failed)
    await site.page.route("**/*", only_here)

"""``python -m tests.page.screenshots [FOLDER]``: the pictures of docs/page.md, from the page as it is.

A namespace of the bundled server is filled with runs of every kind, and looked at in a real browser.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright, expect

from broker_wf import Workflow
from broker_wf.client import AsyncClient
from broker_wf.settings import Settings
from tests.apps.shown import Asking, Failing, Flaky, Spread
from tests.integration.stage import Stage, WorkerThread
from tests.page.conftest import chromium_path
from tests.page.served import ServerThread

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "screenshots"
FLOWS = {"pack-order": Spread, "ask-for-money": Asking, "sync-ledger": Failing, "fetch-rates": Flaky}
CUSTOMERS = ("Ada", "Grace", "Edsger", "Barbara", "Zoë")
PATIENCE_MS = 30_000
NARROW = 760
WITHOUT_FOLDERS = """folder => document.querySelectorAll("pre").forEach((one) => {
  one.textContent = one.textContent.replaceAll(folder, "/srv/shop");
})"""


def named() -> tuple[Callable[..., Workflow], ...]:
    """The workflows under names such as people give them."""
    return tuple(partial(flow, workflow_name=name) for name, flow in FLOWS.items())


@dataclass
class Shots:
    """The page of a namespace, and where its pictures go."""

    stage: Stage
    api: httpx.AsyncClient
    browser: Browser
    url: str
    folder: Path

    async def start(self, workflow: str, event: dict[str, Any] | None = None, **options: Any) -> str:
        """Begin a run."""
        answer = await self.api.post("/api/v1/runs", json={"workflow": workflow, "event": event or {}, **options})
        assert answer.status_code == 200, answer.text
        return answer.json()["run_id"]

    async def ended(self, run_id: str) -> None:
        """Until a run has ended."""
        while (await self.api.get(f"/api/v1/runs/{run_id}")).json()["run"]["ended_at"] is None:
            pass

    async def open(self, view: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        """A view, when it has been told how things stand."""
        page = await self.browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{self.url}/#/{view}")
        await expect(page.locator(".link")).to_have_text("Live")
        await expect(page.locator("h1")).to_be_visible()
        if width > NARROW:
            await expect(page.locator(".where")).to_contain_text(self.stage.settings.namespace)
        return page

    async def take(self, name: str, page: Page) -> None:
        """One picture; where this project lies on this machine is on none."""
        await page.evaluate(WITHOUT_FOLDERS, str(ROOT))
        await page.screenshot(path=self.folder / f"{name}.png", animations="disabled")
        await page.close()


async def fill(shots: Shots) -> None:
    """About two hundred runs that have ended, one way or another, and some that go on."""
    for number in range(150):
        tags = {"customer": CUSTOMERS[number % 5]} if number % 3 else {}
        await shots.start("pack-order", {"customer": CUSTOMERS[number % 5], "parts": 1 + number % 7}, tags=tags)
    for number in range(24):
        await shots.start("sync-ledger", {"text": f"entry {number}"}, tags={"ledger": "2026"})
    for number in range(12):
        await shots.ended(await shots.start("pack-order", {"parts": 3, "pause_s": 0.05 * number}))
    for run_id in [await shots.start("ask-for-money", {"amount": 1_000}) for _ in range(8)]:
        await shots.api.post(f"/api/v1/runs/{run_id}/cancel")
    async with AsyncClient(shots.stage.url, namespace=shots.stage.settings.namespace) as client:
        await client.submit("pack-order", {"parts": "many"})  # nobody checks it until a worker has it
    for amount, reason in ((240, "travel"), (18.5, "a book"), (3_200, "a laptop")):
        await shots.start("ask-for-money", {"amount": amount, "reason": reason}, tags={"who": "Ada"})
    await shots.start("pack-order", {"parts": 5}, delay="2h", tags={"customer": "Zoë"})
    for number in range(3):
        await shots.start("fetch-rates", {"currency": ("EUR", "GBP", "SEK")[number]}, priority="high")


async def pictures(shots: Shots) -> None:
    """All of them, each of a view as it fills by itself."""
    await fill(shots)
    long = await shots.start(
        "pack-order", {"customer": "Grace", "parts": 60, "pause_s": 1.2}, tags={"customer": "Grace"}
    )
    page = await shots.open(f"runs/{long}", height=900)
    await expect(page.locator(".falls .bar.is-completed").nth(3)).to_be_visible()
    await expect(page.locator(".falls .bar.is-running").first).to_be_visible()
    await shots.take("run", page)
    page = await shots.open("queues")
    await expect(page.get_by_role("row", name="pack-order")).to_contain_text("12 / 12")
    await shots.take("queues", page)
    await shots.take("runs", await listed(await shots.open("runs")))
    await shots.take("phone", await listed(await shots.open("runs", width=390, height=844)))
    for view in ("waiting", "workers", "dead"):
        page = await shots.open(view)
        await expect(page.locator("main :is(td, summary, dt)").first).to_be_visible()
        await shots.take(view, page)
    failed = (await shots.api.get("/api/v1/runs", params={"status": "failed", "workflow": "sync-ledger"})).json()[
        "runs"
    ]
    page = await shots.open(f"runs/{failed[0]['run_id']}")
    await expect(page.locator(".trouble")).to_be_visible()
    await shots.take("failed", page)
    retrying = (await shots.api.get("/api/v1/runs", params={"workflow": "fetch-rates"})).json()["runs"]
    page = await shots.open(f"runs/{retrying[0]['run_id']}", dark=True)
    await expect(page.locator("main")).to_contain_text("Last error")
    await shots.take("retrying-dark", page)
    await shots.ended(long)
    page = await shots.open(f"runs/{long}", dark=True)
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.locator(".falls .bar").first).to_be_visible()
    await shots.take("run-dark", page)
    page = await shots.open(f"runs/{long}")
    await expect(page.locator(".log .item").first).to_be_visible()
    await page.get_by_role("heading", name="Log").scroll_into_view_if_needed()
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    await shots.take("log", page)
    page = await shots.open("workflows/pack-order")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await shots.take("start", page)


async def listed(page: Page) -> Page:
    """The list of runs, when it is there."""
    await expect(page.locator("[role=row]").first).to_be_visible()
    return page


async def main(folder: Path) -> None:
    """Fill a namespace, serve it, take the pictures."""
    async with AsyncExitStack() as closing:
        data = closing.enter_context(tempfile.TemporaryDirectory())
        stage = Stage(Settings.load(url="bundled://", namespace="shop", data=data, concurrency=4))
        closing.push_async_callback(stage.clear)
        for _ in range(3):
            worker = WorkerThread(stage.settings, lambda: [make(broker=stage.settings) for make in named()])
            stage.workers.append(await worker.begin())
        server = await ServerThread(stage.settings, named()).begin()
        closing.push_async_callback(server.end)
        api = await closing.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30))
        playwright = await closing.enter_async_context(async_playwright())
        path = chromium_path()
        assert path is not None, "no chromium on PATH, and BROKER_WF_TEST_CHROMIUM names none"
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        closing.push_async_callback(browser.close)
        await pictures(Shots(stage, api, browser, server.url, folder))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))

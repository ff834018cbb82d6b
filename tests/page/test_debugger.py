"""The debugger page of llama-agents-server, from files of the user's, in a real browser before a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from broker_wf import Context, Workflow, step
from broker_wf.events import Event, StartEvent, StopEvent
from broker_wf.settings import Settings
from tests.integration.stage import Stage, WorkerThread
from tests.page.conftest import PATIENCE_MS, QUICK, Site, _watched
from tests.page.served import ServerThread

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=PATIENCE_MS)
PACKAGE, FETCHED_WITHIN_S = "@llamaindex/workflow-debugger@0.2.42", 60

# What that page does with a server, without its looks.
SCRIPT = """
const root = document.getElementById("root"), at = window.location.origin;
const json = async (path, init) => (await fetch(at + path, init)).json();
const { workflows } = await json("/workflows");
const schema = await json(`/workflows/${workflows[0]}/schema`);
const { graph } = await json(`/workflows/${workflows[0]}/representation`);
const headers = { "content-type": "application/json" };
const init = { method: "POST", headers, body: JSON.stringify({ start_event: {} }) };
const made = await json(`/workflows/${workflows[0]}/run-nowait`, init);
const events = `${at}/events/${made.handler_id}?sse=true&include_internal=true`;
const source = new EventSource(events, { withCredentials: true });
source.onmessage = async ({ data }) => {
  const { type, types } = JSON.parse(data);
  if (![type, ...(types ?? [])].includes("StopEvent")) return;
  source.close();
  const { status } = await json(`/handlers/${made.handler_id}`);
  root.style.color = "rgb(1, 2, 3)";
  root.textContent = `${workflows[0]} ${"start" in schema} ${graph.nodes.length > 0} ${status}`;
};
"""
STYLE = """@import"https://fonts.googleapis.com/css2?family=Inter:wght@100;200";#root{font-weight:100}"""


class Number(Event):
    number: int


class Counts(Workflow):
    """Long enough for a page to look at it."""

    @step
    async def count(self, ctx: Context, ev: StartEvent) -> StopEvent:
        for number in range(4):
            await asyncio.sleep(0.5)
            ctx.write_event_to_stream(Number(number=number))
        return StopEvent(result="counted")


Debugged = Callable[[Path], AbstractAsyncContextManager[Site]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dist = tmp_path / "package" / "dist"
    dist.mkdir(parents=True)
    (dist / "app.js").write_text(SCRIPT)
    (dist / "app.css").write_text(STYLE)
    (dist / "other.js").write_text("secret")
    return tmp_path


@pytest_asyncio.fixture(loop_scope="module")
async def debugged(server_url: str, namespace: str, browser: Browser) -> AsyncIterator[Debugged]:
    stage = Stage(Settings.load(url=server_url, namespace=namespace, **QUICK))
    stage.workers.append(await WorkerThread(stage.settings, lambda: [stage.flow(Counts)]).begin())

    @asynccontextmanager
    async def begun(assets: Path) -> AsyncIterator[Site]:
        server = await ServerThread(stage.settings, (Counts,), debugger_assets=assets, token="secret").begin()
        try:
            context = await browser.new_context()
            async with httpx.AsyncClient(base_url=server.url, timeout=20) as api:
                site = Site(server.url, await context.new_page(), stage, api)
                await _watched(site)
                await signed_in(site.page, server.url)
                yield site
            await context.close()
        finally:
            await server.end()
        assert site.abroad == []

    try:
        yield begun
    finally:
        await stage.clear()


async def signed_in(page: Page, url: str) -> None:
    """As at the page's own door."""
    answer = await page.request.post(f"{url}/page/login", data={"token": "secret"})
    assert answer.ok


async def test_its_files_work_with_the_cookie_and_load_nothing_from_elsewhere(debugged: Debugged, folder: Path) -> None:
    async with debugged(folder) as site:
        await site.page.goto(f"{site.url}/debugger/")
        await expect(site.page.locator("#root")).to_have_text("tests.page.test_debugger.Counts true true completed")
        await expect(site.page.locator("#root")).to_have_css("color", "rgb(1, 2, 3)")
        assert site.complaints == []
        for name in ("other.js", "..%2Fapp.js", "nothing"):
            assert (await site.api.get(f"/debugger/{name}")).status_code == 404
        assert (await site.api.get("/workflows")).status_code == 401


@pytest.fixture(scope="session")
def package(request: pytest.FixtureRequest) -> Path:
    """The package itself: where BROKER_WF_TEST_DEBUGGER says, else as npm gives it, once for all later sessions."""
    named = os.environ.get("BROKER_WF_TEST_DEBUGGER")
    if named:
        return Path(named)
    folder = request.config.cache.mkdir("workflow-debugger")
    if not (folder / "package").exists():
        fetch(folder)
    return folder / "package"


def fetch(folder: Path) -> None:
    """Skips with the reason where that is not possible."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm on PATH to fetch {PACKAGE}, and BROKER_WF_TEST_DEBUGGER names none")
    command = (npm, "pack", PACKAGE, "--silent")
    try:
        done = subprocess.run(command, cwd=folder, timeout=FETCHED_WITHIN_S, capture_output=True, text=True, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"npm cannot fetch {PACKAGE}: {error}")
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        with tarfile.open(folder / done.stdout.split()[-1]) as archive:
            archive.extractall(unpacked, filter="data")
        (Path(unpacked) / "package").rename(folder / "package")


async def test_the_package_itself_starts_a_run_and_shows_its_end(debugged: Debugged, package: Path) -> None:
    async with debugged(package) as site:
        page = site.page
        await page.goto(f"{site.url}/debugger/")
        await page.get_by_role("combobox").click()
        await page.get_by_role("option", name="Counts").click()
        await page.get_by_role("button", name="Run Workflow").click()
        for said in ("completed", "Event Stream (4)", "Number", "Final Result", "counted"):
            await expect(page.locator("body")).to_contain_text(said)
        assert site.complaints == []

"""The page when things have gone wrong: workers are killed, runs are done again, dead letters retried."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from playwright.async_api import Route, expect

from tests.apps.mended import Deadly, Fragile
from tests.apps.shown import Failing, Spread
from tests.integration.console import Console, lines
from tests.integration.stage import until
from tests.page.conftest import PATIENCE_MS, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=PATIENCE_MS)
MENDED, SHOWN = "tests.apps.mended:both", "tests.apps.shown:FLOWS"
ONE_LIFE = {"BROKER_WF_MAX_CRASHES": "1", "BROKER_WF_LEASE_MS": "1000"}


@pytest_asyncio.fixture(loop_scope="module")
async def console(site: Site, tmp_path: Path) -> AsyncIterator[Console]:
    """A terminal for workers in processes of their own; those of the site are stopped."""
    for worker in list(site.stage.workers):
        await site.stage.stop_worker(worker, 0)
    made = Console(site.stage.settings.url or "", site.stage.settings.namespace, tmp_path / "data")
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


async def forgotten(site: Site, killed: str) -> None:
    """Until a worker that was killed is on the roster no more."""
    with redis.Redis.from_url(site.stage.url) as client:
        await until(lambda: client.zscore(site.stage.keys.of("roster"), killed) is None)


async def test_a_failed_run_is_gone_on_with_and_run_again(site: Site, console: Console, tmp_path: Path) -> None:
    page = site.page
    await asyncio.to_thread(console.worker, MENDED)
    first = site.stage.flow(Fragile).run(folder=str(tmp_path))
    with pytest.raises(ValueError, match="not mended"):
        await first
    (tmp_path / "mended").touch()
    await site.go(f"runs/{first.run_id}")
    await page.get_by_role("button", name="Go on from second").click()
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.locator(".facts")).to_contain_text("Does again")
    await page.locator(".facts").get_by_role("link", name=first.run_id).click()
    await expect(page.locator("h1 + .status")).to_have_text("failed")
    await expect(page.locator(".facts")).to_contain_text("Done again as")
    assert lines(tmp_path / "notes") == ["first", "second"]
    await page.get_by_role("button", name="Run again").click()
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.get_by_role("button", name="Go on")).to_have_count(0)
    assert lines(tmp_path / "notes") == ["first", "second"] * 2
    await page.get_by_label("Run again from").select_option("from second")
    await page.get_by_role("button", name="Run again").click()
    await until(lambda: lines(tmp_path / "notes") == [*["first", "second"] * 2, "second"])
    await expect(page.locator(".facts")).to_contain_text("Does again")
    await expect(page.locator("h1 + .status")).to_have_text("completed")


async def test_many_runs_are_done_again_after_a_question(site: Site) -> None:
    page = site.page
    failed = [await site.start(Failing) for _ in range(3)]
    await site.go("runs?status=failed")
    await expect(page.locator("[role=row]")).to_have_count(3)
    await page.get_by_label("Choose all runs shown that ended badly").check()
    await page.locator(".bulk").get_by_role("button", name="Run 3 runs again").click()
    dialog = page.get_by_role("dialog")
    for run_id in failed:
        await expect(dialog).to_contain_text(run_id)
    await dialog.get_by_role("button", name="Run 3 runs again").click()
    await expect(page.locator("[role=row]")).to_have_count(6)
    await expect(page.locator(".toast", has_text="3 runs started")).to_be_visible()


async def test_a_dead_letter_is_retried_and_its_run_goes_on(site: Site, console: Console, tmp_path: Path) -> None:
    page = site.page
    worker = await asyncio.to_thread(lambda: console.worker(MENDED, "--processes", "2", count=2, **ONE_LIFE))
    dead = site.stage.flow(Deadly).run(folder=str(tmp_path))
    await site.go("dead")
    letter = page.locator(".letter")
    await expect(letter).to_contain_text("workers died or froze whenever they executed it")
    with pytest.raises(Exception, match="given up"):
        await dead
    (killed,) = (await site.api.get("/api/v1/dlq")).json()["dead_letters"][0]["facts"]["workers"]
    (tmp_path / "mended").touch()
    await letter.locator("summary").click()
    await letter.get_by_role("button", name="Retry").dblclick()
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.locator(".facts")).to_contain_text(dead.run_id)
    assert lines(tmp_path / "notes") == ["first", "second"]
    await site.go("dead")
    await expect(page.locator("main")).to_contain_text("Nothing was given up on")
    await forgotten(site, killed)
    await asyncio.to_thread(console.end, worker, signal.SIGTERM)


async def test_a_worker_that_is_killed_is_seen_to_go_and_another_to_take_its_work(site: Site, console: Console) -> None:
    page = site.page
    worker = await asyncio.to_thread(console.worker, SHOWN)
    (killed,) = [one["id"] for one in await asyncio.to_thread(console.workers)]
    run_id = await site.start(Spread, parts=1, pause_s=5)
    await site.go(f"runs/{run_id}")
    await expect(page.locator(".falls .bar.is-running")).to_have_count(1)
    await expect(page.locator(".falls")).to_contain_text(killed)
    os.kill(worker.pid, signal.SIGKILL)
    other = await asyncio.to_thread(console.start, "worker", SHOWN)
    await site.go("workers")
    await expect(page.locator("tbody tr.gone")).to_contain_text(killed)
    await expect(page.locator("tbody tr:not(.gone)")).to_have_count(1)
    await site.go(f"runs/{run_id}")
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    rows = (await site.api.get(f"/api/v1/runs/{run_id}/steps")).json()["steps"]
    assert {row["step"] for row in rows if row["worker"] != killed} == {"pack", "send"}
    await expect(page.locator(".falls .group")).to_have_count(2)
    await forgotten(site, killed)
    await asyncio.to_thread(console.end, other, signal.SIGTERM)


async def test_the_page_says_that_the_server_is_out_of_reach_and_goes_on_when_it_is_back(site: Site) -> None:
    page = site.page
    await site.go("runs")
    await expect(page.locator(".link")).to_have_text("Live")
    await page.context.set_offline(True)
    await page.locator(".segments label", has_text="Failed").click()
    await expect(page.locator("main")).to_contain_text("The runs cannot be listed")
    await page.context.set_offline(False)
    site.complaints.clear()  # of what was asked meanwhile
    run_id = await site.start(Failing)
    await page.locator(".segments label", has_text="All").click()
    await expect(page.locator("[role=row]", has_text=run_id)).to_contain_text("failed")
    site.complaints[:] = [one for one in site.complaints if "ERR_INTERNET_DISCONNECTED" not in one]


@pytest.mark.parametrize("part", ["app.js", "dom.js", "app.css"])
async def test_a_page_of_which_a_part_does_not_arrive_is_loaded_again(site: Site, part: str) -> None:
    page, refused = site.page, 0

    async def lost_twice(route: Route) -> None:
        nonlocal refused
        refused += 1
        await (route.abort("connectionreset") if refused <= 2 else route.continue_())

    await page.route(f"**/page/{part}", lost_twice)
    await site.go("runs")
    await expect(page.locator(".link")).to_have_text("Live")
    await expect(page.locator(".mark")).to_have_css("display", "block")
    assert refused == 3
    assert [one for one in site.complaints if "ERR_CONNECTION_RESET" not in one] == []
    site.complaints.clear()


async def test_a_page_whose_server_goes_while_it_loads_is_loaded_again_when_there_is_one(site: Site) -> None:
    page, asked, there = site.page, list[str](), asyncio.Event()

    async def gone(route: Route) -> None:
        asked.append(route.request.resource_type)
        # The document comes once, and the script that looks after the rest; then nothing does.
        comes = asked == ["document"] or route.request.url.endswith("/start.js") or there.is_set()
        await (route.continue_() if comes else route.abort("connectionrefused"))

    await page.route(f"{site.url}/**", gone)
    await site.go("runs")
    await until(lambda: asked.count("fetch") == 2)
    assert asked.count("document") == 1
    there.set()
    await expect(page.locator(".link")).to_have_text("Live")
    assert [one for one in site.complaints if "ERR_CONNECTION_REFUSED" not in one] == []
    site.complaints.clear()

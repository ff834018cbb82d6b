"""What a run is started with, as the page asks for it and shows it, and what it offers where nothing is kept."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.apps.shown import Asking, Spread
from tests.page.conftest import PATIENCE_MS, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=PATIENCE_MS)


async def test_a_run_is_started_with_options_and_found_by_its_tag(site: Site) -> None:
    page, name = site.page, f"{Asking.__module__}.{Asking.__name__}"
    await site.go(f"workflows/{name}")
    await page.get_by_text("Options", exact=True).click()
    await page.get_by_label("tags").fill('{"kunde": "<b>Zoe</b>"}')
    await page.get_by_label("delay").fill("soon")
    await page.get_by_label("priority").select_option(label="high")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator(".refused")).to_contain_text("delay cannot be 'soon'")
    assert ["422" in one for one in site.complaints] == [True]
    site.complaints.clear()
    await page.get_by_label("delay").fill("1h")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("h1 + .status")).to_have_text("queued")
    facts = page.locator(".facts")
    for text in ("Begins", "for its moment", "kunde=<b>Zoe</b>", "high"):
        await expect(facts).to_contain_text(text)
    await site.start(Asking)
    await site.go("runs")
    rows = page.locator(".runs [role=row]")
    await expect(rows).to_have_count(2)
    await page.get_by_role("searchbox").fill("kunde=<b>Zoe</b>")
    await expect(rows).to_have_count(1)
    await expect(rows.locator(".tag")).to_have_text("kunde=<b>Zoe</b>")
    await page.get_by_role("searchbox").fill("error:no such")
    await expect(page.locator("main")).to_contain_text("No run fits")
    assert site.complaints == []


async def test_to_begin_from_a_step_is_offered_only_where_its_course_is_kept(site: Site) -> None:
    page = site.page
    kept = site.stage.flow(Spread).run(parts=1)
    await kept
    await site.go(f"runs/{kept.run_id}")
    await expect(page.get_by_label("Run again from")).to_be_visible()
    site.stage.change(keep_steps=False)
    unkept = site.stage.flow(Spread).run(parts=1)
    await unkept
    assert (await site.run(unkept.run_id))["keeps_steps"] is False
    await site.go(f"runs/{unkept.run_id}")
    await expect(page.get_by_role("button", name="Run again")).to_be_visible()
    await expect(page.get_by_label("Run again from")).to_have_count(0)

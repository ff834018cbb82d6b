"""The page under a prefix, behind a proxy."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.async_api import Response, expect

from broker_wf.client import AsyncClient
from tests.apps.shown import FLOWS, Spread
from tests.integration.stage import within
from tests.page.behind import Proxy
from tests.page.conftest import PATIENCE_MS, Site
from tests.page.served import ServerThread

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=PATIENCE_MS)
TOKEN = "t" * 20


async def test_the_page_and_the_client_work_under_a_prefix_with_a_token(site: Site) -> None:
    server = await ServerThread(site.stage.settings, FLOWS, token=TOKEN, root_path="/wf").begin()
    proxy = await Proxy(server.url, "/wf").begin()
    assert site.page.context.browser is not None
    page = await site.page.context.browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    answers: list[Response] = []
    page.on("response", lambda one: answers.append(one))
    try:
        await page.goto(f"{proxy.url}/#/workflows/{Spread.__module__}.Spread")
        await page.get_by_role("dialog").get_by_label("Token").fill(TOKEN)
        await page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
        await page.get_by_label("parts").fill("2")
        await page.get_by_role("button", name="Start", exact=True).click()
        await expect(page.locator("h1 + .status")).to_have_text("completed")
        await expect(page.locator(".events")).to_contain_text("StopEvent")
        await expect(page.locator(".link")).to_have_text("Live")
        (cookie,) = await page.context.cookies(proxy.url)
        assert cookie.get("path") == "/wf"
        assert {one.url for one in answers if not urlsplit(one.url).path.startswith("/wf/")} == set()
        assert {one.status for one in answers} <= {200, 304, 401}
        async with AsyncClient(proxy.url, token=TOKEN) as client:
            run = await client.submit(f"{Spread.__module__}.Spread", {"parts": 2}, run_id="orders/42")
            assert [event.type async for event in run.events()] == ["StopEvent"]
            assert await within(run.result()) == {"sent": 2}
    finally:
        await page.context.close()
        await proxy.end()
        await server.end()

"""The page in a real browser: what a person does there, and sees."""

from __future__ import annotations

import asyncio
import re
from typing import cast

import pytest
import redis
from playwright.async_api import Locator, Page, Response, Route, expect

from tests.apps.shown import FLOWS, Asking, Failing, Flaky, Spread
from tests.page.conftest import PATIENCE_MS, SERVED, Site
from tests.page.served import ServerThread

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=PATIENCE_MS)
OUTSIDE = """() => [...document.querySelectorAll("svg.graph .node")].flatMap((node) => {
  const box = node.querySelector("rect").getBoundingClientRect();
  return [...node.querySelectorAll("text")].filter((text) => {
    const its = text.getBoundingClientRect();
    return its.left < box.left || its.right > box.right || its.top < box.top || its.bottom > box.bottom;
  }).map((text) => text.textContent);
})"""
"""Texts of the graph that do not lie within their boxes."""
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>alert(1)</script>\u2028"


def row(page: Page, run_id: str) -> Locator:
    return page.locator("[role=row]", has_text=run_id)


async def test_a_run_is_started_from_its_form_and_watched_until_its_end(site: Site) -> None:
    page = site.page
    await site.go("workflows")
    await page.get_by_role("link", name="Spread").click()
    await expect(page.locator("svg.graph")).to_contain_text("pack")
    await page.get_by_label("parts").fill("0")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("alert").first).not_to_be_empty()
    await page.get_by_label("parts").fill("6")
    await page.get_by_label("pause s").fill("60")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.locator("svg.graph .counts")).to_have_text(["6 running", "1 done"])
    await expect(page.locator(".falls .bar.is-running")).to_have_count(6)
    await page.get_by_role("link", name="Workflow", exact=True).click()
    await page.get_by_label("parts").fill("6")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.locator("svg.graph .counts")).to_have_text(["6 done", "6 done", "1 done"])
    await expect(page.locator(".falls .bar")).to_have_count(13)
    await expect(page.locator(".events")).to_contain_text("StopEvent")
    await expect(page.locator("main")).to_contain_text('"sent": 6')
    await page.locator("summary", has_text="Context").click()
    await expect(page.locator("details", has_text="Context")).to_contain_text("count")


async def test_what_is_said_of_a_step_has_room_in_its_box_whatever_the_numbers(site: Site) -> None:
    page = site.page
    await site.go(f"runs/{await site.start(Spread, parts=2_000, pause_s=60)}")
    counts = page.locator("svg.graph .counts")
    await expect(counts).to_have_text([re.compile(r"^\d+ running · 1,\d+ queued$"), "1 done"])
    assert await page.evaluate(OUTSIDE) == []
    await expect(page.locator(".waterfall")).to_contain_text(re.compile(r"executions on 2 workers, 1,\d+ to come"))


async def test_what_is_tried_again_is_shown_as_such_with_its_last_error(site: Site) -> None:
    page = site.page
    await site.go(f"runs/{await site.start(Flaky)}")
    await expect(page.locator("svg.graph .counts")).to_have_text(["1 retrying"])
    await expect(page.locator(".falls")).to_contain_text("to be tried again")
    await expect(page.locator(".falls")).to_contain_text("attempt 2 is to come")
    await expect(page.locator("td.error")).to_contain_text("ConnectionError: the bank of EUR does not answer")


async def test_the_log_of_a_run_is_shown_as_it_comes_and_kept(site: Site) -> None:
    page = site.page
    run_id = await site.start(Spread, customer=HOSTILE, parts=3, pause_s=60)
    await site.go(f"runs/{run_id}")
    lines = page.locator(".log .item")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("<img src=x onerror=")
    await lines.get_by_role("button").click()
    await expect(page.locator(".log + .data")).to_contain_text("broker_wf.run")
    assert (await site.api.post(f"/api/v1/runs/{run_id}/cancel", json={})).status_code == 200
    await site.go(f"runs/{await site.start(Spread, parts=3)}")
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(lines).to_have_count(4)
    await page.get_by_label("Step", exact=True).select_option("pack")
    await expect(lines).to_have_count(3)
    await page.get_by_label("Least level").select_option("ERROR")
    await expect(page.locator("main")).to_contain_text("No line fits")
    await site.go(f"runs/{await site.start(Failing)}")
    await expect(page.locator(".log .level-warning")).to_contain_text("failed for good")


async def test_the_list_of_runs_is_live_searched_and_filtered(site: Site) -> None:
    page = site.page
    await site.go("runs")
    await expect(page.locator("main")).to_contain_text("No runs yet")
    failed = await site.start(Failing)
    asking = await site.start(Asking)
    await expect(row(page, failed)).to_contain_text("failed")
    await expect(row(page, failed)).to_contain_text("ValueError: cannot carry <b>not bold</b>")
    await expect(row(page, asking)).to_contain_text("running")
    await page.locator(".segments label", has_text="Failed").click()
    await expect(row(page, asking)).to_have_count(0)
    await expect(row(page, failed)).to_have_count(1)
    await page.locator(".segments label", has_text="All").click()
    await page.keyboard.press("Escape")
    await page.get_by_role("searchbox").fill(asking[2:])
    await expect(row(page, failed)).to_have_count(0)
    await expect(row(page, asking)).to_have_count(1)
    assert f"q={asking[2:]}" in page.url
    await page.reload()
    await expect(row(page, asking)).to_have_count(1)
    await expect(row(page, failed)).to_have_count(0)


async def test_a_question_is_answered_in_the_inbox(site: Site) -> None:
    page = site.page
    await site.go("waiting")
    await expect(page.locator("main")).to_contain_text("Nobody is asked")
    run_id = await site.start(Asking, reason=HOSTILE)
    card = page.locator(".question", has_text=run_id)
    await expect(card).to_contain_text("May 100 € be spent on <img src=x")
    await card.get_by_label("granted").check()
    await card.get_by_label("remark").fill("go <b>on</b>")
    await card.get_by_role("button", name="Send the answer").click()
    await expect(card).to_have_count(0)
    await site.go(f"runs/{run_id}")
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.locator("main")).to_contain_text("go <b>on</b>")
    assert (await site.run(run_id))["result"] == {"granted": True, "remark": "go <b>on</b>"}


async def test_what_changes_while_the_list_is_on_its_way_is_not_taken_for_the_list(site: Site) -> None:
    """Who chose all runs shown chose one of three, for a change was told before the list came."""
    page, there = site.page, asyncio.Event()
    ids = [await site.start(Asking, amount=number + 1) for number in range(2)]

    async def late(route: Route) -> None:
        await there.wait()
        await route.continue_()

    await page.route("**/api/v1/runs?*", late)
    await site.go("runs")
    await expect(page.locator(".link")).to_have_text("Live")
    ids.append(await site.start(Asking, amount=3))
    await asyncio.sleep(1.5)
    await expect(page.get_by_label("Choose all live runs shown")).to_be_disabled()
    there.set()
    await page.get_by_label("Choose all live runs shown").check()
    await expect(page.locator(".bulk").get_by_role("button", name="Cancel 3 runs")).to_be_visible()


async def test_runs_are_cancelled_one_by_one_and_together_after_a_question(site: Site) -> None:
    page = site.page
    one, *rest = [await site.start(Asking, amount=number + 1) for number in range(3)]
    await site.go(f"runs/{one}")
    await expect(page.locator(".question")).to_contain_text("May 1 €")
    await page.get_by_role("button", name="Cancel run").focus()
    async with page.expect_response(lambda answer: answer.url.endswith("/steps")):
        pass  # it is drawn anew, and keeps the focus
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Leave it").click()
    assert (await site.run(one))["status"] == "running"
    await page.get_by_role("button", name="Cancel run").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    await expect(page.locator("h1 + .status")).to_have_text("cancelled")
    await expect(page.locator(".question")).to_have_count(0)
    await site.go("runs")
    await page.get_by_label("Choose all live runs shown").check()
    await page.locator(".bulk").get_by_role("button", name="Cancel 2 runs").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel 2 runs").click()
    for run_id in rest:
        await expect(row(page, run_id)).to_contain_text("cancelled")


async def test_a_failure_shows_its_traceback_and_nothing_of_it_is_read_as_html(site: Site) -> None:
    page = site.page
    run_id = await site.start(Failing, text=HOSTILE)
    await site.go(f"runs/{run_id}")
    trouble = page.locator(".trouble")
    await expect(trouble).to_contain_text("ValueError in step break_it, attempt 2")
    await expect(trouble).to_contain_text("<img src=x onerror")
    await expect(trouble.locator("pre")).to_contain_text("in break_it")
    assert await page.locator("main img, main script").count() == 0
    assert await page.title() == f"failed · {run_id} · broker_wf"


async def test_dead_letters_workers_and_queues_are_shown_as_they_come_and_go(site: Site) -> None:
    page, stage = site.page, site.stage
    await site.go("dead")
    await expect(page.locator("main")).to_contain_text("Nothing was given up on")
    with redis.Redis.from_url(stage.url) as client:
        client.xadd(stage.keys.of("work", f"{Spread.__module__}.Spread", "Order"), {"nonsense": HOSTILE})
    await site.start(Spread, parts=1)
    letter = page.locator(".letter")
    await expect(letter).to_contain_text("the entry of the stream is not one of ours")
    await letter.locator("summary").click()
    await expect(letter.locator("pre")).to_contain_text("<img src=x")
    await letter.get_by_role("button", name="Drop this letter").click()
    await page.get_by_role("dialog").get_by_role("button", name="Drop it").click()
    await expect(page.locator("main")).to_contain_text("Nothing was given up on")
    await site.go("workers")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await stage.stop_worker(stage.workers[0], 0)
    await expect(page.locator("tbody tr.gone")).to_have_count(1)
    await site.go("queues")
    await expect(page.locator("tbody tr")).to_have_count(len(SERVED))
    await expect(page.locator("tbody tr", has_text="Flaky").locator(".limits")).to_have_text("fetch 2")
    await expect(page.locator("tbody tr", has_text="Spread").locator(".limits")).to_have_text("none")
    await stage.stop_worker(stage.workers[0], 0)
    await expect(page.locator("tbody td.bad")).to_have_text(["none"] * len(SERVED))


async def test_the_page_is_dark_where_the_system_is_and_where_it_is_told_to(site: Site) -> None:
    page = site.page

    async def ground() -> int:
        colour = cast(str, await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    await page.emulate_media(color_scheme="light")
    await site.go("runs")
    assert await ground() > 600
    await page.emulate_media(color_scheme="dark")
    assert await ground() < 100
    theme = page.get_by_role("button", name="Theme")
    await theme.click()
    await expect(theme).to_have_text("Theme: light")
    assert await ground() > 600
    await page.reload()
    assert await ground() > 600
    await theme.click()
    await expect(theme).to_have_text("Theme: dark")
    await page.emulate_media(color_scheme="light")
    assert await ground() < 100


async def test_the_page_is_used_by_keyboard_alone_and_on_a_phone(site: Site) -> None:
    page = site.page
    first, _ = await site.start(Asking, amount=1), await site.start(Asking, amount=2)
    await page.set_viewport_size({"width": 390, "height": 844})
    await site.go("runs")
    await expect(page.locator("[role=row]")).to_have_count(2)
    await page.locator(".window").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("x")
    await expect(page.locator(".bulk")).to_contain_text("1 run chosen")
    await page.keyboard.press("Enter")
    await expect(page.locator("main h1")).to_contain_text("Asking")
    assert page.url.endswith(f"#/runs/{first}")
    await expect(page.locator(".question")).to_contain_text("May 1 €")
    for view in ("runs", "waiting", "workflows", "queues", "workers", "dead", f"runs/{first}"):
        await site.go(view)
        await expect(page.locator("h1")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.keyboard.press("6")
    await expect(page.locator("h1")).to_have_text("Dead letters")


async def test_ten_thousand_runs_are_listed_with_a_few_rows_in_the_document(site: Site) -> None:
    page, count = site.page, 10_000
    last = await site.start(Spread, parts=1)
    while (await site.run(last))["ended_at"] is None:
        pass
    _copied(site, last, count - 1)
    await site.go("runs")
    await expect(page.locator("[role=row]").first).to_be_visible()
    while f"{count:,} shown" not in await page.locator(".head").inner_text():
        await page.locator(".window").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    # The last ones may have come just behind the last scroll.
    await page.locator(".window").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    assert await page.locator("[role=row]").count() < 80
    oldest = page.locator(f"[role=row][aria-rowindex='{count}']")
    await expect(oldest).to_contain_text("copy-0")
    await page.get_by_role("searchbox").fill("copy-4321")
    await expect(page.locator("[role=row]")).to_have_count(1)


async def test_a_run_of_a_thousand_steps_is_shown_with_a_few_rows_in_the_document(site: Site) -> None:
    page = site.page
    await site.go(f"runs/{await site.start(Spread, parts=500)}")
    await expect(page.locator("h1 + .status")).to_have_text("completed")
    await expect(page.locator(".waterfall")).to_contain_text("1,001 executions on 2 workers")
    assert await page.locator(".falls [role=row]").count() < 60
    await page.locator(".falls").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    await expect(page.locator(".falls [role=row][aria-rowindex='1003']")).to_be_visible()


def _copied(site: Site, run_id: str, times: int) -> None:
    """More ended runs like this one."""
    keys, flow = site.stage.keys, f"{Spread.__module__}.Spread"
    with redis.Redis.from_url(site.stage.url) as client:
        index = keys.of("ended_runs", flow)
        ended_ms = cast(float, client.zscore(index, run_id))
        life_ms = cast(int, client.pttl(keys.of("run", run_id)))
        pipe = client.pipeline(transaction=False)
        for number in range(times):
            pipe.copy(keys.of("run", run_id), keys.of("run", f"copy-{number}"))
            pipe.pexpire(keys.of("run", f"copy-{number}"), life_ms)
            pipe.zadd(index, {f"copy-{number}": ended_ms - times + number})
        pipe.execute()


async def test_the_files_are_small_and_allow_nothing_from_elsewhere(site: Site) -> None:
    page = site.page
    size = 0
    responses: list[Response] = []
    page.on("response", lambda one: responses.append(one))
    await site.go("runs")
    await expect(page.locator(".link")).to_have_text("Live")
    for response in responses:
        if "/api/" not in response.url and not response.url.endswith("/login"):
            size += len(await response.body())
            assert response.headers["content-security-policy"].startswith("default-src 'self';"), response.url
    assert 20_000 < size < 300_000


async def test_who_signs_in_to_look_is_shown_nothing_to_press(site: Site) -> None:
    run_id = await site.start(Asking)
    server = await ServerThread(site.stage.settings, FLOWS, token="t" * 20, read_token="r" * 20).begin()
    assert site.page.context.browser is not None
    page = await site.page.context.browser.new_page()
    try:
        await page.goto(f"{server.url}/#/runs/{run_id}")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Token").fill("wrong")
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(page.locator(".toast")).to_have_text("That is not the token.")
        await dialog.get_by_label("Token").fill("r" * 20)
        await dialog.get_by_role("button", name="Sign in").click()
        await expect(page.locator("h1 + .status")).to_have_text("running")
        await expect(page.locator("#role")).to_have_text("Read only")
        await expect(page.get_by_text("May 100 €").first).to_be_visible()
        await expect(page.get_by_role("button", name="Cancel run")).to_be_hidden()
        await expect(page.get_by_role("button", name="Send the answer")).to_be_hidden()
        (cookie,) = await page.context.cookies(server.url)
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    finally:
        await page.context.close()
        await server.end()

"""What operators do with the console, in a browser: watch, find out why a change waits, mend what failed."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from producers import Outcome
from tests.browser.conftest import USERS
from tests.browser.site import Site, Tab, new_tab
from tests.support.browser import needs_browser
from tests.support.changes import TRADER, change, setting

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="session")]

WATCHED, FAILED = USERS[50:170], USERS[170:174]
PAUSED, LIMITED, CANCELLED = USERS[180], USERS[181], USERS[182]


async def test_a_fan_out_is_watched_to_its_end(tab: Tab, site: Site) -> None:
    """The page of its batch shows how far it is and when it ends, then that it is complete, without being loaded."""
    page = tab.page
    await site.producer.pause(trader_id="watched")
    await site.producer.fan_out(trader_id="watched", settings=[setting()], user_ids=WATCHED, batch_id="watched")
    await tab.go(f"{site.served.url}/batch?id=watched")
    await page.evaluate("window.isSame = true")
    await expect(page.get_by_text(f"0 of {len(WATCHED)}")).to_be_visible()
    await site.producer.resume(trader_id="watched")
    await expect(page.get_by_text(f"{len(WATCHED)} of {len(WATCHED)}")).to_be_visible()
    await expect(page.locator("dl.figures").get_by_text("complete")).to_be_visible()
    await expect(page.get_by_role("row", name=WATCHED[0])).to_have_count(1)

    assert await page.evaluate("window.isSame")


async def test_a_paused_user_is_seen_to_wait_and_why(tab: Tab, site: Site) -> None:
    """Found by the search box, paused by a button; the page of its change says in a sentence why it waits."""
    page = tab.page
    await tab.go(f"{site.served.url}/")
    await page.get_by_role("searchbox", name="Search").fill(PAUSED)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name=f"The page of user {PAUSED}").click()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="Paused.")).to_be_visible()
    await site.producer.enqueue(change(PAUSED), job_id="waits")
    lane = page.get_by_role("row", name=TRADER)
    await expect(lane).to_contain_text("waits: the user is paused")
    await lane.get_by_role("link", name="waits", exact=True).click()
    await expect(page.get_by_text(re.compile(f"It waits: .*{PAUSED}.* paused"))).to_be_visible()
    await page.get_by_role("link", name=PAUSED).click()
    await page.get_by_role("button", name="Resume", exact=True).click()
    await page.get_by_role("searchbox", name="Search").fill("waits")
    await page.keyboard.press("Enter")
    await expect(page.locator("dl.figures").get_by_text(Outcome.APPLIED)).to_be_visible()


async def test_failures_are_retried_once_their_cause_is_gone(tab: Tab, site: Site) -> None:
    """All of the batch, after a page that says how many; they end applied in a batch of their own."""
    page = tab.page
    await site.stack.set_faults(
        {"kind": "code:40017", "user": FAILED[0], "first": 1}, {"kind": "code:40017", "user": FAILED[1], "first": 1}
    )
    batch = await site.producer.fan_out(trader_id="mended", settings=[setting()], user_ids=FAILED, batch_id="mended")
    progress = await batch.wait(timeout=20)
    await site.stack.set_faults()
    assert progress.outcomes[Outcome.REJECTED] == 2
    await tab.go(f"{site.served.url}/batch?id=mended")
    await expect(page.get_by_role("row", name="40017").first).to_contain_text("2")
    await page.get_by_role("link", name="Retry failed").click()
    await expect(page.get_by_text("Retry 2 failed changes of batch mended?")).to_be_visible()
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_text("2 of 2")).to_be_visible()
    await expect(page.get_by_text("Applied", exact=True)).to_be_visible()


async def test_dead_letters_are_replayed_by_their_filter(tab: Tab, site: Site) -> None:
    """All that match, after a page that says how many."""
    page, address = tab.page, f"{site.served.url}/dead-letters?trader=nobody"
    settings, users = [setting()], ["nobody-1", "nobody-2"]
    batch = await site.producer.fan_out(trader_id="nobody", settings=settings, user_ids=users, batch_id="nobody")
    await batch.wait(timeout=20)
    await tab.go(address)
    await page.get_by_role("link", name="Replay").first.click()
    await site.producer.pause(trader_id="nobody")
    await page.get_by_role("button", name="Replay 2 dead letters").click()
    await expect(page.get_by_role("status").filter(has_text="2")).to_be_visible()

    assert await site.producer.dead.count(trader_id="nobody") == 0
    assert [lane.queued for user in users for lane in (await site.producer.user_status(user)).lanes] == [1, 1]


async def test_a_user_is_limited_and_pinned_and_its_changes_are_cancelled(tab: Tab, site: Site) -> None:
    """The page that asks says how many; a form that is sent twice does nothing more."""
    page = tab.page
    await site.producer.pause(user_id=CANCELLED)
    await site.producer.enqueue_many([change(CANCELLED) for _ in range(3)])
    await tab.go(f"{site.served.url}/user?id={CANCELLED}")
    await page.get_by_label("Own limit").fill("2.5")
    await page.get_by_role("button", name="Set limit").click()
    await expect(page.get_by_text("2.5/s, its own")).to_be_visible()
    await page.get_by_label("Only egress").fill("near")
    await page.get_by_role("button", name="Pin", exact=True).click()
    await expect(page.get_by_text("near only")).to_be_visible()
    await page.get_by_role("link", name="Cancel all changes").click()
    await expect(page.get_by_text("3 changes in 1 lane will end cancelled")).to_be_visible()
    for _ in range(2):
        await page.get_by_role("button", name="Cancel all changes").click()
        await expect(page.get_by_text("It has no changes in the queue")).to_be_visible()
        await page.go_back()


async def test_a_reader_sees_no_button_of_any_screen(browser: Browser, site: Site) -> None:
    """But for the search, filters and signing out."""
    await site.producer.pause(user_id=LIMITED)
    await site.producer.enqueue(change(LIMITED), job_id="read-only")
    async with new_tab(browser, signed_in=(site, site.reader)) as tab:
        for path in ("/", "/workers", "/batches", f"/user?id={LIMITED}", "/change?id=read-only", "/dead-letters"):
            await tab.go(f"{site.served.url}{path}")
            labels = await tab.page.get_by_role("button").all_inner_texts()

            assert set(labels) <= {"Search", "Sign out", "Show", "Filter"}, path
            assert await tab.page.locator("a.button, form[method=post][action*=actions]").count() == 0, path

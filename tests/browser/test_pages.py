"""Every page of the console, in a browser: light, dark, narrow, without scripts, by keyboard, below a prefix."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from ops.serving import serving
from producers import Outcome
from producers.queue.fan_out import member_job_id
from tests.browser.conftest import USERS
from tests.browser.proxy import proxied
from tests.browser.site import Site, Tab, new_tab, sign_in
from tests.support.browser import needs_browser
from tests.support.changes import setting

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="session")]

PREFIX = "/ops/ct"
MARKUP = "<img/src=x/onerror=alert(1)>"
"""A valid user ID."""

BATCH, QUEUED = "<b>pages<b>", "pages-queued"
PAGES = (
    *("/", "/workers", "/batches", f"/batch?id={quote(BATCH)}", f"/batch?id={QUEUED}", f"/batch/cancel?id={QUEUED}"),
    *(f"/batch/retry?id={quote(BATCH)}", "/dead-letters", f"/dead-letters?user={quote(MARKUP)}"),
    *(f"/dead-letters/replay?user={quote(MARKUP)}", f"/user?id={quote(MARKUP)}", f"/user?id={USERS[0]}"),
    *(f"/user/cancel?id={USERS[0]}", f"/change?id={quote(member_job_id(QUEUED, USERS[0]))}"),
    f"/change?id={quote(member_job_id(BATCH, MARKUP))}",
    *(f"/search?q={quote(MARKUP)}%20", "/search?q=%20", f"/search?q={'w' * 300}", f"/user?id={'w' * 128}"),
    "/pause-everything",
    f"/trader?id={quote(MARKUP)}",
)
MODES: dict[str, tuple[int, Literal["light", "dark"]]] = {
    "light": (1200, "light"),
    "dark": (1200, "dark"),
    "narrow": (360, "light"),
}
"""The widths of the window, and what readers have asked their systems for."""

SIDEWAYS = """() => new Promise(tell => requestAnimationFrame(() => requestAnimationFrame(
    () => tell(document.documentElement.scrollWidth - innerWidth)
)))"""
"""How far a page is wider than its window, once it has drawn its charts for a new width."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def _content(site: Site) -> None:
    """A batch with failures, of users without API keys and of one whose ID is markup; and one that waits."""
    one = [setting()]
    await site.producer.pause(trader_id="<i>paused</i>")
    await site.producer.fan_out(trader_id="<i>paused</i>", settings=one, user_ids=USERS[:40], batch_id=QUEUED)
    users = [*USERS[:3], MARKUP, "long-" * 20]
    batch = await site.producer.fan_out(trader_id="<i>t</i>", settings=one, user_ids=users, batch_id=BATCH)
    progress = await batch.wait(timeout=20)
    assert progress.outcomes[Outcome.UNAUTHORIZED] == 2


def secrets(site: Site) -> list[str]:
    """What no page may have."""
    token = site.served.link.partition("token=")[2]
    keys = [key.text.split("_", 2)[2] for key in (site.operator, site.reader)]
    return [*keys, token, "secret-1", "pass-1"]


async def test_every_page_is_accessible_fits_and_has_no_secret(browser: Browser, site: Site) -> None:
    """By axe, light, dark and narrow, without scrolling sideways. What is markup in a name is text."""
    faults: list[str] = []
    async with new_tab(browser) as tab:
        await tab.go(f"{site.served.url}/sign-in")
        faults += [f"/sign-in {fault}" for fault in await faults_of(tab.page)]
        await sign_in(tab.page.context, site, site.operator)
        session = (await tab.page.context.cookies())[0]["value"]
        for path in PAGES:
            await tab.go(f"{site.served.url}{path}")
            await expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
            text = await tab.page.content()
            faults += [f"{path} has {secret}" for secret in [*secrets(site), session] if secret in text]
            faults += [f"{path} {fault}" for fault in await faults_of(tab.page)]
            if await tab.page.locator("main img, main i, main b").count():
                faults.append(f"{path} has markup")

    assert faults == []


async def faults_of(page: Page) -> list[str]:
    """Return what is wrong with a page in any mode."""
    faults = []
    for mode, (width, scheme) in MODES.items():
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 800})
        if (wider := await page.evaluate(SIDEWAYS)) > 0:
            faults.append(f"is {wider} px too wide when {mode}")
        faults += [f"has when {mode}: {fault}" for fault in await serious_faults(page)]
    return faults


async def serious_faults(page: Page) -> list[str]:
    """Return what axe finds that is serious."""
    found = (await Axe().run(page)).response["violations"]
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']][:3]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


async def test_dark_is_dark(browser: Browser, site: Site) -> None:
    """By the reader's system."""
    background = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for mode in ("light", "dark"):
        async with new_tab(browser, color_scheme=mode) as tab:
            await tab.go(f"{site.served.url}/sign-in")
            seen[mode] = await tab.page.evaluate(background)

    assert seen["light"] == "rgb(255, 255, 255)"
    assert seen["dark"] == "rgb(20, 24, 28)"


async def test_pages_and_actions_work_without_scripts(browser: Browser, site: Site) -> None:
    """A user is paused and resumed; a cancelled batch is asked about first."""
    async with new_tab(browser, signed_in=(site, site.operator), java_script_enabled=False) as tab:
        page, url = tab.page, site.served.url
        for path in PAGES:
            await tab.go(f"{url}{path}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await tab.go(f"{url}/workers")
        await page.get_by_label("Pause a").select_option("trader")
        await page.get_by_label("Its ID").fill("no-scripts")
        await page.get_by_role("button", name="Pause", exact=True).click()
        await expect(page.get_by_role("status")).to_have_text("Paused.")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Trader no-scripts")
        await page.get_by_role("button", name="Resume", exact=True).click()
        await expect(page.get_by_role("status")).to_have_text("Resumed.")
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


async def test_times_are_those_of_the_readers_zone_with_the_utc_on_hover(browser: Browser, site: Site) -> None:
    """India is five and a half hours ahead."""
    async with new_tab(browser, signed_in=(site, site.operator), timezone_id="Asia/Kolkata", locale="en-GB") as tab:
        await tab.go(f"{site.served.url}/batches")
        time = tab.page.locator("td time").first
        shown, utc = await time.inner_text(), await time.get_attribute("title")
        expected = await time.evaluate(
            'time => new Date(time.dateTime).toLocaleTimeString("en-GB", {timeZone: "Asia/Kolkata"})'
        )

    assert expected in shown
    assert utc is not None
    assert expected not in utc


async def test_the_console_is_operated_by_keyboard_alone(tab: Tab, site: Site) -> None:
    """A link skips the navigation, the focus is seen, and forms are sent by Enter."""
    page = tab.page
    await tab.go(f"{site.served.url}/")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    assert await outline(page) != "none"
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{site.served.url}/#main")
    await page.keyboard.press("Shift+Tab")
    seen = []
    for _ in range(8):
        await page.keyboard.press("Shift+Tab")
        seen.append(await page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
        assert await outline(page) != "none", seen
        if seen[-1] == "Overview":
            break
    assert seen[-4:] == ["Workers", "Dead letters", "Batches", "Overview"]
    assert "q" in seen
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Batches", level=1)).to_be_visible()


async def outline(page: Page) -> str:
    """Return the outline of what has the focus."""
    style: str = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    return style


async def test_the_console_works_below_the_prefix_of_a_proxy(browser: Browser, site: Site) -> None:
    """Signing in, links, live updates and forms, whether the proxy takes the prefix off or not."""
    async with serving(site.dsn, "--root-path", PREFIX) as gateway:
        for takes_off in (True, False):
            upstream = f"http://127.0.0.1:{gateway.port}"
            async with proxied(upstream, PREFIX, takes_off=takes_off) as url, new_tab(browser) as tab:
                page = tab.page
                await tab.go(f"{url}/")
                await page.get_by_label("Access key").fill(site.operator.text)
                await page.keyboard.press("Enter")
                await expect(page).to_have_url(f"{url}/")
                (cookie,) = await page.context.cookies()
                await page.get_by_role("link", name="Workers").click()
                await expect(page).to_have_url(f"{url}/workers")
                await site.producer.pause(trader_id="proxied")
                row = page.get_by_role("row", name="trader proxied")
                await row.get_by_role("button", name="Resume").click()
                await expect(page.get_by_role("status").filter(has_text="Resumed.")).to_be_visible()

                assert cookie["path"].rstrip("/") == PREFIX
                await page.close()

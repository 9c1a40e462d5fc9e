"""Signing in to the console, in a browser, and what a page of another origin can do."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from ops.serving import serving
from tests.browser.site import Site, Tab, new_tab, session_cookie
from tests.support.browser import needs_browser

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="session")]

ELSEWHERE = "http://127.0.0.1:9/"
"""Of the same site, but another origin: the cookie is sent with its forms."""

OTHER_SITE = "http://elsewhere.example/"


async def test_a_browser_signs_in_with_a_key_and_out(browser: Browser, site: Site) -> None:
    """A wrong key is refused; scripts cannot read the cookie, which ends with the session."""
    async with new_tab(browser) as tab:
        page, url = tab.page, site.served.url
        await page.goto(f"{url}/")
        await expect(page).to_have_url(f"{url}/sign-in")
        await page.get_by_label("Access key").fill("ct_wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        tab.faults.clear()  # the console of a browser tells of the status 401
        await page.get_by_label("Access key").fill(site.operator.text)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        (cookie,) = await page.context.cookies()
        seen = await page.evaluate("document.cookie")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_url(f"{url}/sign-in")

        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (session_cookie(url), True, "Strict")
        assert seen == ""
        assert await page.context.cookies() == []
        assert site.operator.text not in await page.content()
        await page.context.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": url}])
        await page.goto(f"{url}/")
        await expect(page).to_have_url(f"{url}/sign-in")


async def test_a_link_from_another_site_shows_its_page(browser: Browser, site: Site) -> None:
    """Without signing in again if the browser is signed in; and else after that, wherever the link is."""
    async with serving(site.dsn) as served, new_tab(browser) as tab:
        address = f"{served.url}/batches?skip=0"
        await follow(tab, address)
        await tab.page.get_by_label("Access key").fill(site.operator.text)
        await tab.page.get_by_role("button", name="Sign in").click()
        await expect(tab.page).to_have_url(address)
        await follow(tab, address)
        await expect(tab.page.get_by_role("heading", name="Batches")).to_be_visible()
        await tab.page.context.clear_cookies()
        await follow(tab, served.link)
        await expect(tab.page).to_have_url(f"{served.url}/")
        await expect(tab.page.get_by_role("heading", name="Overview")).to_be_visible()


async def follow(tab: Tab, address: str) -> None:
    """Click a link of a page of another site."""
    await tab.page.route(
        OTHER_SITE, lambda route: route.fulfill(body=f'<a href="{address}">Go</a>', content_type="text/html")
    )
    await tab.page.goto(OTHER_SITE)
    await tab.page.get_by_role("link").click()


async def test_a_form_of_another_origin_is_refused(tab: Tab, site: Site) -> None:
    """Also one of the same site, with which a browser sends the cookie."""
    address = f"{site.served.url}/actions/pause"
    form = f'<form method="post" action="{address}"><input name="kind" value="everything"><button>Go</button></form>'
    await tab.page.route(ELSEWHERE, lambda route: route.fulfill(body=form, content_type="text/html"))
    await tab.page.goto(ELSEWHERE)
    async with tab.page.expect_navigation() as navigation:
        await tab.page.get_by_role("button").click()
    answer = await navigation.value
    tab.faults.clear()

    assert answer is not None
    assert answer.status == 403
    assert session_cookie(site.served.url) in (await answer.request.all_headers())["cookie"]
    await expect(tab.page.get_by_role("alert")).to_contain_text("another site")
    assert not any(pause.kind == "everything" for pause in await site.producer.paused())


async def test_the_link_signs_a_browser_in_once_and_a_read_only_gateway_has_no_buttons(
    browser: Browser, site: Site
) -> None:
    """The second browser is asked for a key. The token does not stay in the address."""
    async with serving(site.dsn, "--read-only") as served:
        async with new_tab(browser) as first:
            await first.page.goto(served.link)
            await expect(first.page).to_have_url(f"{served.url}/")
            await expect(first.page.get_by_role("heading", name="Overview")).to_be_visible()
            assert await forged(first, served.url) == 403
        async with new_tab(browser) as second:
            await second.page.goto(served.link)
            await expect(second.page.get_by_role("alert")).to_contain_text("was used before")
            second.faults.clear()


async def test_a_key_that_may_only_read_has_no_buttons(browser: Browser, site: Site) -> None:
    """A forged form is refused."""
    async with new_tab(browser, signed_in=(site, site.reader)) as tab:
        assert await forged(tab, site.served.url) == 403
    assert not any(pause.kind == "everything" for pause in await site.producer.paused())


async def forged(tab: Tab, url: str) -> int:
    """Return the status of a form that a page without buttons does not have."""
    await tab.go(f"{url}/workers")
    await expect(tab.page.get_by_role("button", name="Pause", exact=True)).to_have_count(0)
    status: int = await tab.page.evaluate(
        """async url => (await fetch(url, {
            method: "POST", body: new URLSearchParams({kind: "everything"})
        })).status""",
        f"{url}/actions/pause",
    )
    tab.faults.clear()  # the console of a browser tells of the status
    return status

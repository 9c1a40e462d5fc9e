"""Pages that change by themselves, in a browser: when they do, when they do not, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from litestar import Litestar
from playwright.async_api import Browser, Page, Route, expect

from ops.serving import serving
from producers.contract.access_keys import Scope
from producers.gateway import GatewaySettings, create_app
from producers.gateway.calls.service import Gateway, gateway_in
from tests.browser.site import Site, Tab, new_tab
from tests.support.browser import needs_browser
from tests.support.gateway import listening, port_of

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="session")]

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""What a browser does when its tab is hidden or shown; in a headless one no tab hides another."""

OPEN_IN_BACKGROUND = 'Object.defineProperty(document, "hidden", {configurable: true, get: () => true});'


@pytest_asyncio.fixture(loop_scope="session")
async def user(request: pytest.FixtureRequest, site: Site) -> AsyncIterator[str]:
    """A user of this test, who is paused in it: pages show that."""
    name = f"u-{request.node.name[5:60]}"
    yield name
    await site.producer.resume(user_id=name)


@asynccontextmanager
async def own_gateway(site: Site) -> AsyncIterator[tuple[Gateway, str]]:
    """Serve another gateway of the same queue in this process; yield it and its address."""
    app: Litestar = create_app(GatewaySettings(redis_dsn=site.dsn, gateway_auth=False))
    async with listening(app) as serving:
        yield gateway_in(app.state), f"http://127.0.0.1:{port_of(serving)}"


async def show(page: Page, *, hidden: bool) -> None:
    """Hide or show a page."""
    await page.evaluate(HIDE, hidden)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the gateway of this process comes to."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.02)


async def test_a_hidden_tab_has_no_stream_and_goes_on_when_it_is_shown(browser: Browser, site: Site, user: str) -> None:
    """However often it is hidden and shown: the gateway has one stream of it, or none."""
    async with own_gateway(site) as (gateway, url), new_tab(browser) as tab:
        await tab.go(f"{url}/")
        await until(lambda: gateway.open_streams == 1)
        for _ in range(3):
            await show(tab.page, hidden=True)
            await until(lambda: gateway.open_streams == 0)
            await site.producer.pause(user_id=user)
            await show(tab.page, hidden=False)
            await until(lambda: gateway.open_streams == 1)
        await expect(tab.page.get_by_role("row", name=f"user {user}")).to_be_visible()

        assert gateway.open_streams == 1


async def test_a_tab_that_is_opened_in_the_background_keeps_no_stream(browser: Browser, site: Site) -> None:
    """A browser has six connections to a server: streams of tabs that nobody looks at would use them up."""
    async with own_gateway(site) as (gateway, url), new_tab(browser) as tab:
        await tab.page.add_init_script(OPEN_IN_BACKGROUND)
        async with tab.page.expect_response("**/live?*"):
            await tab.go(f"{url}/")
        await until(lambda: gateway.open_streams == 0)
        await show(tab.page, hidden=False)
        await until(lambda: gateway.open_streams == 1)


async def test_a_tab_that_is_hidden_while_it_connects_has_no_stream(browser: Browser, site: Site) -> None:
    """Before the extension listens."""
    async with own_gateway(site) as (gateway, url), new_tab(browser) as tab:

        async def hide_first(route: Route) -> None:
            await show(tab.page, hidden=True)
            await route.continue_()

        await tab.page.route("**/live?*", hide_first)
        async with tab.page.expect_response("**/live?*"):
            await tab.go(f"{url}/")
        await until(lambda: gateway.open_streams == 0)
        await tab.page.unroute_all()
        await show(tab.page, hidden=False)
        await until(lambda: gateway.open_streams == 1)


async def test_streams_end_with_their_pages(browser: Browser, site: Site) -> None:
    """Of a tab that was led from page to page, and of a closed one."""
    async with own_gateway(site) as (gateway, url):
        async with new_tab(browser) as tab:
            for _ in range(3):
                await tab.go(f"{url}/")
                await tab.go(f"{url}/workers")
            await until(lambda: gateway.open_streams == 1)
        await until(lambda: gateway.open_streams == 0)


@pytest.mark.parametrize("failure", ["refused", "broken"])
async def test_a_page_whose_first_stream_fails_asks_again(tab: Tab, site: Site, user: str, failure: str) -> None:
    """It shows its content meanwhile, not that of the error."""
    page = tab.page
    asked = 0

    async def fail_first(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            await route.continue_()
        elif failure == "broken":
            await route.abort()
        else:
            await route.fulfill(status=503, body="<h1>Error</h1>", content_type="text/html")

    await page.route("**/live?*", fail_first)
    await tab.go(f"{site.served.url}/")
    await expect(page.get_by_text("The gateway does not answer")).to_be_visible()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await site.producer.pause(user_id=user)
    await expect(page.get_by_role("row", name=f"user {user}")).to_be_visible()
    await expect(page.get_by_text("The gateway does not answer")).to_be_hidden()
    tab.faults.clear()  # the console of a browser tells of the failure


async def test_a_page_goes_on_when_its_gateway_is_started_again(browser: Browser, site: Site, user: str) -> None:
    """It says meanwhile that what it shows may be old, and is not loaded again."""
    async with new_tab(browser) as tab:
        page = tab.page
        async with serving(site.dsn, "--no-auth") as gateway:
            await tab.go(f"{gateway.url}/")
            await page.evaluate("window.isSame = true")
            gateway.process.kill()
            await expect(page.get_by_text("The gateway does not answer")).to_be_visible()
        async with serving(site.dsn, "--no-auth", port=gateway.port):
            await site.producer.pause(user_id=user)
            await expect(page.get_by_role("row", name=f"user {user}")).to_be_visible()
            await expect(page.get_by_text("The gateway does not answer")).to_be_hidden()
            assert await page.evaluate("window.isSame")
            await page.close()
        tab.faults.clear()  # the console of a browser tells of refused connections


async def test_a_tab_that_was_left_open_over_an_upgrade_is_loaded_again(tab: Tab, site: Site) -> None:
    """Its styles and scripts are those of the earlier version."""
    page = tab.page
    asked = 0

    async def with_version(route: Route) -> None:
        nonlocal asked
        asked += 1
        request = route.request
        url = request.url if asked > 1 else request.url.replace("version=", "version=earlier-")
        await route.continue_(url=url)

    await page.route("**/live?*", with_version)
    await tab.go(f"{site.served.url}/")
    async with page.expect_event("load"):
        pass
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_what_is_typed_stays_while_the_page_changes(tab: Tab, site: Site, user: str) -> None:
    """And so does the focus."""
    page = tab.page
    await tab.go(f"{site.served.url}/workers")
    await page.get_by_label("Pause a").select_option("trader")
    await page.get_by_label("Its ID").fill("half-typed")
    await site.producer.pause(user_id=user)
    await expect(page.get_by_role("row", name=f"user {user}")).to_be_visible()

    await expect(page.get_by_label("Its ID")).to_have_value("half-typed")
    await expect(page.get_by_label("Its ID")).to_be_focused()
    await expect(page.get_by_label("Pause a")).to_have_value("trader")


async def test_what_is_typed_in_several_fields_stays_when_the_focus_is_elsewhere(
    tab: Tab, site: Site, user: str
) -> None:
    """Although sentences come and go above them."""
    page = tab.page
    await tab.go(f"{site.served.url}/user?id={user}")
    await page.get_by_label("Own limit").fill("3")
    await page.get_by_label("Only egress").fill("half-typed")
    await page.locator("#q").focus()
    await site.producer.pause(user_id=user)
    await expect(page.get_by_text("The user is paused")).to_be_visible()

    await expect(page.get_by_label("Own limit")).to_have_value("3")
    await expect(page.get_by_label("Only egress")).to_have_value("half-typed")


async def test_a_session_that_has_ended_leads_to_the_sign_in_page(browser: Browser, site: Site) -> None:
    """An open page with it, which asks for no stream again."""
    key = await site.producer.access_keys.add("leaver", [Scope.READ])
    async with new_tab(browser, signed_in=(site, key)) as tab:
        streams: list[str] = []
        tab.page.on("request", lambda request: streams.append(request.url) if "/live?" in request.url else None)
        await tab.go(f"{site.served.url}/")
        await site.producer.access_keys.revoke(key.key_id)
        await expect(tab.page).to_have_url(f"{site.served.url}/sign-in")
        await expect(tab.page.get_by_role("alert")).to_contain_text("the session has ended")
    assert len(streams) == 1

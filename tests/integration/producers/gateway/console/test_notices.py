"""What a page of the console says once, of the action that led to it."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from producers.contract.access_keys import Scope
from producers.gateway.console.cookies import Kind, cookie_name
from tests.support.console import HOST, sign_in
from tests.support.gateway import page_after


async def test_a_pause_is_shown_and_ended(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A form that is sent twice says that it had been done."""
    await sign_in(browser, valkey, Scope.READ, Scope.OPERATE)
    form = {"kind": "trader", "name": "<i>t&1</i>"}
    first, again = [await browser.post("/actions/pause", data=form) for _ in range(2)]
    page = await page_after(browser, first)

    assert first.headers["Location"] == "/trader?id=%3Ci%3Et%261%3C%2Fi%3E"
    assert "Trader &lt;i&gt;t&amp;1&lt;/i&gt;" in page
    assert "Paused." in page
    assert "It was paused before." in await page_after(browser, again)
    assert "not paused" in await page_after(browser, await browser.post("/actions/resume", data=form))


async def test_a_notice_is_shown_once_and_on_its_page_alone(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A link cannot make a page say something."""
    await sign_in(browser, valkey, Scope.READ, Scope.OPERATE)
    paused = await browser.post("/actions/pause", data={"kind": "everything"})
    elsewhere, there, again = [(await browser.get(path)).text for path in ("/", "/workers", "/workers")]
    links = [(await browser.get("/workers", params={"notice": notice})).text for notice in ("paused", "paused.1.1")]

    assert paused.headers["Location"] == "/workers"
    assert [text.count('class="notice"') for text in (elsewhere, there, again, *links)] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("value", ["paused", "nothing.0.0", "paused.1.x", "<b>.0.0", "paused.1.99999999999999999999"])
async def test_a_notice_that_is_none_of_ours_is_not_shown(
    browser: httpx.AsyncClient, valkey: ArqRedis, value: str
) -> None:
    """As one from a cookie of an earlier version."""
    await sign_in(browser, valkey, Scope.READ)
    browser.cookies.set(cookie_name(Kind.NOTICE, HOST), value)
    page = await browser.get("/workers")

    assert (page.status_code, 'class="notice"' in page.text) == (200, False)

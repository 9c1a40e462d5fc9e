"""What the tests of the console look at: a gateway, a worker, the exchange double, and tabs of a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from ops.serving import Served
from ops.stack import Stack
from producers import Producer
from producers.contract.access_keys import NewKey
from producers.gateway.console.cookies import Kind, cookie_name

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

LISTEN = """
addEventListener("securitypolicyviolation", event => tell(`${event.violatedDirective} ${event.blockedURI}`));
"""
"""Run in each page before its own scripts."""


@dataclass
class Site:
    """All that runs.

    Attributes:
        dsn: the server with the queue.
        stack: the exchange double and the worker.
        producer: what the tests change the queue with.
        served: the gateway.
        operator: a key that may do everything.
        reader: a key that may only read.
    """

    dsn: str
    stack: Stack
    producer: Producer
    served: Served
    operator: NewKey
    reader: NewKey


@dataclass
class Tab:
    """A page, and what went wrong on it.

    Attributes:
        page: the page.
        faults: errors of its console and its scripts, and what its Content-Security-Policy refused.
    """

    page: Page
    faults: list[str] = field(default_factory=list)

    async def go(self, address: str) -> None:
        """Load a page; the answer must be a success."""
        answer = await self.page.goto(address)
        assert answer is not None
        assert answer.status == 200, f"{answer.status} of {address}"


@asynccontextmanager
async def new_tab(
    browser: Browser, *, signed_in: tuple[Site, NewKey] | None = None, **options: object
) -> AsyncIterator[Tab]:
    """Open a tab of a browser without history. At the end, nothing may have gone wrong on it."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    try:
        if signed_in is not None:
            await sign_in(context, *signed_in)
        tab = await open_tab(context)
        yield tab
        assert tab.faults == [], tab.faults
    finally:
        await context.close()


async def open_tab(context: BrowserContext) -> Tab:
    """Open a tab in a context."""
    page = await context.new_page()
    tab = Tab(page)

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            tab.faults.append(f"{message.type}: {message.text} ({message.location})")

    page.on("console", note)
    page.on("pageerror", lambda error: tab.faults.append(f"script: {error}"))
    await page.expose_function("tell", lambda text: tab.faults.append(f"policy: {text}"))
    await page.add_init_script(LISTEN)
    page.set_default_timeout(20_000)
    return tab


async def sign_in(context: BrowserContext, site: Site, key: NewKey, url: str = "") -> None:
    """Give a browser the cookie of a session."""
    token = await site.producer.access_keys.open_session(key.key_id)
    url = url or site.served.url
    await context.add_cookies([{"name": session_cookie(url), "value": token, "url": url}])


def session_cookie(url: str) -> str:
    """Return the name of the cookie of a session of the gateway at an address."""
    parts = urlsplit(url)
    return cookie_name(Kind.SESSION, parts.netloc, parts.path.rstrip("/"))

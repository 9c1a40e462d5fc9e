"""One gateway, worker, exchange double and browser for all tests in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from ops.redis_server import embedded_valkey
from ops.serving import serving
from ops.stack import Stack, User, write_credentials
from producers import Producer
from producers.contract.access_keys import Scope
from tests.browser.site import FLAGS, Site, Tab, new_tab
from tests.support.browser import CHROMIUM

expect.set_options(timeout=20_000)  # ms: far more than anything takes

USERS = [str(number) for number in range(1000, 1200)]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """All that runs, for all tests: each uses users and batches of its own."""
    folder = tmp_path_factory.mktemp("console")
    credentials = write_credentials(folder / "credentials.toml", map(User, USERS))
    with embedded_valkey() as dsn:
        async with (
            Stack(dsn, credentials, credentials) as stack,
            Producer.connect(dsn) as producer,
            serving(dsn) as served,
        ):
            await stack.start_workers(1)
            operator = await producer.access_keys.add("operator", list(Scope))
            reader = await producer.access_keys.add("reader", [Scope.READ])
            yield Site(dsn, stack, producer, served, operator, reader)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, with a profile of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Browser, site: Site) -> AsyncIterator[Tab]:
    """A tab that is signed in with the operator's key."""
    async with new_tab(browser, signed_in=(site, site.operator)) as tab:
        yield tab

"""A running double and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from ops.exchange import ExchangeDouble
from tests.support.signed_requests import ACCOUNTS


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without kept connections, so that an aborted one is noticed at once."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
async def double() -> AsyncIterator[ExchangeDouble]:
    """A double without faults."""
    async with ExchangeDouble(ACCOUNTS) as running:
        yield running

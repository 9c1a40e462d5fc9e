"""A running double and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from ops.exchange import ExchangeDouble
from tests.support.signed_requests import ACCOUNTS


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps no connection, so that an aborted one is not noticed a request too late."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
async def double() -> AsyncIterator[ExchangeDouble]:
    """A double without faults."""
    async with ExchangeDouble(ACCOUNTS) as running:
        yield running

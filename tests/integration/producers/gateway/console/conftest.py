"""A browser that knows nothing yet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from producers.gateway import GatewaySettings, create_app
from producers.gateway.calls import known_keys
from tests.support.console import HOST, LINK_TOKEN
from tests.support.gateway import served


@pytest.fixture
async def browser(valkey_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client, which keeps cookies, of a gateway that reads keys and sessions for each call."""
    monkeypatch.setattr(known_keys, "KEY_CACHE_S", 0.0)
    app = create_app(GatewaySettings(redis_dsn=valkey_dsn), sign_in_token=LINK_TOKEN)
    async with served(app) as client:
        client.headers.update({"Accept": "text/html", "Host": HOST})
        yield client

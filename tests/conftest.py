"""Redis for tests: an embedded Valkey for the whole run, fakeredis, and a clock that a test moves."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from arq.connections import ArqRedis

from ops.redis_server import embedded_valkey
from producers.transport.dsn import open_redis
from tests.support.fake_redis import open_fake
from tests.support.manual_clock import ManualClock

REAL, FAKE = "valkey", "fakeredis"


def pytest_configure() -> None:
    """Let SIGINT reach the processes that tests start: a shell ignores it for what it runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes our variables from the environment, so that tests start from the defaults."""
    for name in [name for name in os.environ if name.startswith("COPYTRADE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _level_of_the_root_logger() -> Iterator[None]:
    """Restores the level that a program sets which a test runs in this process."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """The DSN of a real server that lives for the whole run; ask for `valkey_dsn` to have it empty."""
    with embedded_valkey() as dsn:
        yield dsn


@pytest.fixture
async def valkey_dsn(valkey_server: str) -> str:
    """The DSN of a real, empty server."""
    client = open_redis(valkey_server, ArqRedis, timeout_s=5)
    await client.flushall()
    await client.aclose()
    return valkey_server


@pytest.fixture
async def valkey(valkey_dsn: str) -> AsyncIterator[ArqRedis]:
    """A client of a real, empty server."""
    client = open_redis(valkey_dsn, ArqRedis, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
async def fake_redis(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ArqRedis]:
    """A client of an empty fakeredis, on which a whole worker can run."""
    client = open_fake(monkeypatch)
    yield client
    await client.aclose()


@pytest.fixture(params=[FAKE, REAL])
def redis(request: pytest.FixtureRequest) -> ArqRedis:
    """A client of an empty Redis: the test runs on fakeredis and on a real server."""
    client: ArqRedis = request.getfixturevalue("fake_redis" if request.param == FAKE else "valkey")
    return client


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that only the test moves; the `TIME` of fakeredis, also within scripts, follows it."""
    manual = ManualClock()
    monkeypatch.setattr(time, "time", manual.time)
    return manual

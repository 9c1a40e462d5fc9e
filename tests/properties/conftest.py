"""How many examples hypothesis makes, and the server that they use."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

from ops.children import remove_at_end
from ops.redis_server import embedded_valkey
from producers.transport.dsn import open_redis
from tests.support.timed_redis import TimedRedis

EXAMPLES = 40
RUNS = int(os.environ.get("PROPERTY_RUNS", "0"))

settings.register_profile(
    "properties",
    derandomize=not RUNS,
    max_examples=EXAMPLES * max(1, RUNS),
    deadline=None,  # a slow machine breaks nothing
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


settings.load_profile("properties")

_kept = tempfile.TemporaryDirectory(prefix="hypothesis")  # not in the tree
remove_at_end(Path(_kept.name))
set_hypothesis_home_dir(_kept.name)


@pytest.fixture(scope="package")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of the examples."""
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@pytest.fixture(scope="package")
def timed_redis(loop: asyncio.AbstractEventLoop) -> Iterator[TimedRedis]:
    """A client of a real server of this package's own, whose clock the examples set."""
    with embedded_valkey() as dsn:
        client = open_redis(dsn, TimedRedis, timeout_s=10)
        yield client
        loop.run_until_complete(client.aclose())

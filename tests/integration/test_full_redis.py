"""A Redis that is full refuses a script as a whole, or does all of it: never a part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from ops.redis_server import Valkey
from producers import Outcome, Producer, ProducerError
from producers.contract import keyspace
from producers.transport.dsn import open_redis
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes, contents


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[ArqRedis]:
    """A server of its own, which the test fills."""
    with Valkey(tmp_path / "redis", ("appendonly no", "maxmemory-policy noeviction")) as server:
        client = open_redis(server.dsn, ArqRedis, timeout_s=5)
        yield client
        await client.aclose()


@pytest.mark.parametrize(
    "what", ["settle", "give back", "fail", "claim", "cancel", "cancel batch", "submit", "fan out"]
)
async def test_a_full_redis_refuses_a_script_as_a_whole_or_runs_all_of_it(full: ArqRedis, what: str) -> None:
    """`maxmemory` is reached right before the script; half a script would lose or double a change."""
    lanes, producer = Lanes(full), Producer(full)
    batch = await producer.fan_out([change("1001"), change("1002")], batch_id="b")
    await producer.enqueue_many(numbered(3, "1003"))
    claims = await lanes.claim(2)
    claim = next(claim for claim in claims if claim.job_id.startswith("b//"))
    before = await contents(full)
    actions: dict[str, Any] = {
        "settle": lambda: lanes.done(claim),
        "fail": lambda: lanes.done(claim, Outcome.REJECTED),
        "give back": lambda: lanes.back(claim),
        "claim": lambda: lanes.claim(2),
        "cancel": lambda: producer.cancel_user("1003"),
        "cancel batch": batch.cancel,
        "submit": lambda: producer.enqueue(change("1004")),
        "fan out": lambda: producer.fan_out([change("1005")], batch_id="c"),
    }
    await full.config_set("maxmemory", "1")
    refused = False
    try:
        async with asyncio.timeout(1):  # a settlement is tried until there is room
            await actions[what]()
    except (RedisError, ProducerError, TimeoutError):
        refused = True
    after = await contents(full)
    await full.config_set("maxmemory", "0")
    if lanes.settler._writer is not None:
        await lanes.settler._writer

    assert await lanes.uncovered() == set()
    if what == "cancel":  # several scripts: it is repeated, and what the first did was done and counted
        results = [key for key in after if key.startswith(keyspace.RESULT)]
        assert int(after[keyspace.COUNTS][1][b"cancelled"]) == len(results) > 0
        assert (await producer.cancel_user("1003")).cancelled == 0
    elif refused:
        assert after == before
    elif what in ("settle", "fail"):
        assert after[keyspace.BATCH_RESULTS + "b"][1], "the stream must tell of it"
        assert after[keyspace.COUNTS][1]
    await producer._notifications.close()

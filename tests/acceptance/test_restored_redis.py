"""Redis is lost, or restored from an older copy, while a worker runs: what the runbook says of it is true."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ops.redis_server import Valkey
from ops.stack import Stack, User, write_credentials
from producers import Cancellation, JobState, Producer
from producers.transport.dsn import open_redis
from tests.acceptance.conftest import WITHIN_S
from tests.support.changes import change
from tests.support.fan_outs import to_users

USERS = ("1001", "1002", "1003", "1004")
FROM_A_COPY = ("appendonly no", "maxmemory-policy noeviction")
"""With `appendonly yes`, a server does not read the copy."""

CHANGES = {
    "ended": change("1001", value="1"),
    "repeated": change("1002", value="2"),
    "cancelled": change("1002", value="3"),
    "new": change("1003", value="4"),
    "waits": change("1004", value="5"),
}
"""The app's own records: what it asked for, by its own IDs."""


async def copy_to(server: Valkey, folder: Path) -> None:
    """Have a copy written and take it away, as a backup does."""
    client: Redis = open_redis(server.dsn, Redis, timeout_s=5)
    await client.save()
    await client.aclose()
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread(shutil.copy, server.folder / "dump.rdb", folder)


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """The users' API keys."""
    return write_credentials(tmp_path / "keys.toml", [User(user) for user in USERS])


async def test_what_redis_has_forgotten_is_sent_again_from_the_apps_records(tmp_path: Path, keys: str) -> None:
    """Repeating all calls with their IDs adds only what is missing. What ended since the copy is sent twice."""
    first = Valkey(tmp_path / "first")
    async with (
        asyncio.timeout(2 * WITHIN_S),
        Stack(first.dsn, keys, keys, environ={"COPYTRADE_REDIS_TIMEOUT_S": "1"}) as stack,
        Producer.connect(first.dsn, wait_s=30) as producer,
    ):
        with first:
            await stack.start_workers(1)
            await enqueue(producer, "ended")
            await producer.job("ended").result()
            await producer.pause(user_id="1002")
            await enqueue(producer, "repeated", "cancelled")
            batch = await to_users(producer, ["1001", "1002"], "july", value="6")
            await copy_to(first, tmp_path / "copy")
            assert await producer.job("cancelled").cancel() is Cancellation.CANCELLED
            await producer.resume(user_id="1002")
            await enqueue(producer, "new")
            for job_id in ("repeated", "new"):
                assert (await producer.job(job_id).result()).applied
            assert (await batch.wait()).complete
            await producer.pause(user_id="1004")
            await enqueue(producer, "waits")
            await asyncio.to_thread(first.stop)

        with Valkey(tmp_path / "copy", FROM_A_COPY, port=first.port) as restored:
            assert [pause.name for pause in await producer.paused()] == ["1002"], "pauses are those of the copy"
            await producer.resume(user_id="1002")
            for job_id in ("repeated", "cancelled"):
                assert (await producer.job(job_id).result()).applied, "what ended since the copy is sent again"
            for job_id in ("new", "waits"):
                assert (await producer.job(job_id).status()).state is JobState.NOT_FOUND
            assert await enqueue(producer, *CHANGES) == {"new", "waits"}, "what is there is not sent again"
            for job_id in CHANGES:
                assert (await producer.job(job_id).result()).applied
            again = await to_users(producer, ["1001", "1002"], "july", value="6")
            assert (await again.wait()).complete
            await asyncio.to_thread(restored.kill)

        with Valkey(tmp_path / "empty", port=first.port):
            assert await enqueue(producer, *CHANGES) == CHANGES.keys(), "nothing is there any more"
            for job_id in CHANGES:
                assert (await producer.job(job_id).result()).applied
        arrived = Counter(arrival["values"][0] for arrival in await stack.arrivals() if arrival["user"])

    assert [arrived[value] for value in "12345"] == [2, 3, 2, 3, 2]
    assert arrived["6"] in (3, 4), "one of the batch's two changes may have ended before the copy"


async def enqueue(producer: Producer, *job_ids: str) -> set[str]:
    """Enqueue changes of the app's records; return the IDs of those that were not there."""
    jobs = [await producer.enqueue(CHANGES[job_id], job_id=job_id) for job_id in job_ids]
    return {job.job_id for job in jobs if not job.already_there}

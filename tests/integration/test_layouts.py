"""Programs and a queue of another layout: they refuse it, and `migrate` moves it, also in two runs.

See test_upgrade.py for what becomes of the changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.keys import KEYS
from producers import (
    CheckStatus,
    LayoutMismatch,
    MigrationRefused,
    Producer,
    ProducerError,
    ProducerSettings,
    QueueUnavailable,
)
from producers.contract.layout import LAYOUT
from producers.monitor import doctor
from tests.support.changes import change
from tests.support.stored_queue import StoredQueue
from tests.support.upgraded import Upgraded, open_queue

OLDER, NEWER = (StoredQueue.from_file(f"queue_of_{name}.json") for name in ("700f862", "layout_1"))


@pytest.fixture(params=[OLDER, NEWER], ids=["700f862", "layout 1"])
async def stored(request: pytest.FixtureRequest, valkey_dsn: str) -> AsyncIterator[Upgraded]:
    """A stored queue, at the moment of its dump."""
    lanes = await open_queue(valkey_dsn, request.param)
    yield lanes
    await lanes.redis.aclose()


async def test_a_dry_run_counts_what_there_is_to_move_and_writes_nothing(stored: Upgraded) -> None:
    """Then nothing is left to move after the queue was moved."""
    producer = Producer(stored.redis)
    before = await stored.values()

    report = await producer.migrate(dry_run=True)

    assert await stored.values() == before
    queued = stored.queue.queued
    assert (report.lanes, report.changes, report.batches) == (len(queued), sum(map(len, queued.values())), 1)
    assert await producer.migrate() == report
    assert (await producer.migrate(dry_run=True)).lanes == 0


async def test_a_migration_that_was_interrupted_is_completed_by_the_next(
    stored: Upgraded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No change is lost or doubled, whichever of its runs was the last."""
    producer = Producer(stored.redis)
    monkeypatch.setattr("producers.queue.migration.CHUNK_SIZE", 1)
    runs = 0
    execute = stored.redis.execute_command

    async def interrupted(*args: Any, **options: Any) -> Any:
        nonlocal runs
        runs += args[0] == "EVALSHA"
        if runs > 7:
            raise RedisConnectionError("cut")
        return await execute(*args, **options)

    monkeypatch.setattr(stored.redis, "execute_command", interrupted)
    with pytest.raises(QueueUnavailable):
        await producer.migrate()
    monkeypatch.setattr(stored.redis, "execute_command", execute)

    await producer.migrate()

    for lane, queued in stored.queue.queued.items():
        assert await stored.queued(lane) == queued


async def test_programs_refuse_the_queue_until_it_was_moved(stored: Upgraded) -> None:
    """Whatever they ask, in one line that names the command; nothing is written, and the doctor fails."""
    producer = Producer(stored.redis)
    before = await stored.values()

    for call in (
        lambda: producer.enqueue(change("1")),
        producer.batches,
        producer.overview,
        lambda: producer.user_status("1001"),
        lambda: producer.cancel_user("1001"),
        lambda: producer.job("tried").status(),
        lambda: producer.pause(everything=True),
    ):
        with pytest.raises(LayoutMismatch, match="copytrade migrate --yes"):
            await call()
    with pytest.raises(Exception, match="LAYOUT"):
        await stored.claimer.session.renew()
    checks = {check.name: check for check in await doctor.checks(stored.redis, ProducerSettings())}

    assert await stored.values() == before
    assert checks["layout"].status is CheckStatus.FAIL
    await producer.migrate()
    assert len(await producer.batches()) == 1
    await producer.enqueue(change("1"))
    await stored.claimer.session.renew()
    assert await stored.redis.get(KEYS.layout) == LAYOUT.encode()


async def test_nothing_is_moved_while_a_worker_of_the_version_before_is_alive(stored: Upgraded) -> None:
    """It would go on with the lanes as they were."""
    await stored.redis.zadd(KEYS.workers, {"default:old": await stored.now_ms() + 10_000})

    with pytest.raises(MigrationRefused, match="stop all workers"):
        await Producer(stored.redis).migrate()


async def test_a_queue_of_a_later_layout_is_neither_moved_nor_used(stored: Upgraded) -> None:
    """The program must be updated."""
    await stored.redis.set(KEYS.layout, "10")
    producer = Producer(stored.redis)

    for call in (producer.migrate, producer.overview):
        with pytest.raises(ProducerError, match="update this program"):
            await call()


async def test_what_a_forgotten_producer_of_the_version_before_enqueued_is_moved_behind_what_is_there(
    stored: Upgraded,
) -> None:
    """The doctor tells of it, a dry run counts it, and the egress keeps what it knows."""
    producer = Producer(stored.redis)
    await producer.migrate()
    await stored.drain()
    await producer.enqueue(change("1", "t1"), job_id="new")
    payload = await stored.redis.get(KEYS.job + "new")
    async with stored.redis.pipeline() as pipe:
        for job_id in ("old-1", "old-2"):
            pipe.set(KEYS.job + job_id, payload)
            pipe.rpush(KEYS.old_lane + "1:t1", job_id)
        pipe.zadd(KEYS.old_schedule, {"1:t1": 1})
        pipe.zadd(KEYS.old_lanes, {"1:t1": 0})
        await pipe.execute()
    egress = await stored.redis.hgetall(KEYS.egress + "default")  # type: ignore[misc]
    found = {check.name: check for check in await doctor.checks(stored.redis, ProducerSettings())}

    assert found["layout"].status is CheckStatus.WARN
    assert (await producer.migrate(dry_run=True)).changes == 2
    assert (await producer.migrate()).changes == 2
    assert await stored.queued("1:t1") == ["new", "old-1", "old-2"]
    assert await stored.redis.hgetall(KEYS.egress + "default") == egress  # type: ignore[misc]
    assert await stored.uncovered() == set()

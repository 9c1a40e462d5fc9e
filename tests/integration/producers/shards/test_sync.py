"""The producer without asyncio on a queue with shards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from producers import InvalidArgument, Outcome, ProducerSettings
from producers.sync import Producer
from producers.transport.shards import Shards
from tests.support.changes import change, setting
from tests.support.sharded import SHARDS, ShardedLanes

USERS = [str(1000 + number) for number in range(30)]


@pytest.fixture
def blocking(valkey_dsn: str) -> Iterator[Producer]:
    """A producer without asyncio on the same queue, opened by its settings."""
    with Producer.connect(valkey_dsn, ProducerSettings(shards=SHARDS)) as producer:
        yield producer


async def test_the_sync_producer_uses_the_same_shards(blocking: Producer, lanes: ShardedLanes) -> None:
    """Changes, a fan-out, its results and dead letters."""
    report = blocking.enqueue_many([change(user) for user in USERS])
    batch = blocking.fan_out(trader_id="t2", settings=[setting()], user_ids=USERS, batch_id="july")
    for _ in range(2):
        await lanes.drain(Outcome.APPLIED, Outcome.REJECTED)

    progress = await asyncio.to_thread(batch.wait, 10)
    results = list(batch.results())
    assert [job.already_there for job in report.jobs] == [False] * len(USERS)
    assert [job.result(timeout=30).job_id for job in report.jobs] == [job.job_id for job in report.jobs]
    assert (progress.total, len(results)) == (len(USERS), len(USERS))
    assert len(list(blocking.dead.list())) == len(USERS)
    assert blocking.job(report.jobs[0].job_id).result(timeout=0).job_id == report.jobs[0].job_id
    assert [found.batch_id for found in blocking.batches()] == ["july"]


async def test_clients_of_the_other_kind_are_refused(clients: Shards[Redis]) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidArgument, match="an asynchronous client needs"):
        Producer(clients)  # type: ignore[arg-type]  # what it refuses

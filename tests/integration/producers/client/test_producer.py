"""The producer on Redis: what is accepted, what is rejected, and what happens without Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import free_port
from producers import (
    InvalidArgument,
    InvalidChange,
    LaneFull,
    Producer,
    ProducerSettings,
    QueueUnavailable,
    SettingsChange,
    SettingsError,
)
from producers.contract import keyspace
from producers.contract.codec import decode_change
from producers.queue.chunks import CHUNK_SIZE
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes

LANE = keyspace.lane("1001", "t1")
INVALID = SettingsChange(user_id="1001", trader_id="t1", settings=[])


async def values_of(lanes: Lanes, lane: str = LANE) -> list[str | None]:
    """Return the trace values of a lane's changes in order."""
    payloads = await lanes.redis.mget([KEYS.job + job_id for job_id in await lanes.queued(lane)])
    return [decode_change(payload).a[0].settings[0].trace_value for payload in payloads]


async def test_an_enqueued_change_is_in_its_lane_under_the_id_of_its_handle(
    producer: Producer, redis: ArqRedis
) -> None:
    """The caller can find the change again by the ID alone."""
    job = await producer.enqueue(change())

    assert not job.already_there
    assert await Lanes(redis).queued(LANE) == [job.job_id]


async def test_enqueueing_the_same_job_id_again_adds_nothing_and_reports_it(
    producer: Producer, redis: ArqRedis
) -> None:
    """A caller that is unsure whether a submission arrived can safely repeat it."""
    first = await producer.enqueue(change(), job_id="order-1")
    again = await producer.enqueue(change(), job_id="order-1")

    assert (first.already_there, again.already_there) == (False, True)
    assert await Lanes(redis).queued(LANE) == ["order-1"]


async def test_an_enqueued_change_has_the_time_of_redis_and_the_deadline_of_its_caller(
    producer: Producer, redis: ArqRedis
) -> None:
    """Clocks of producers may differ, so the enqueue time is that of Redis."""
    job = await producer.enqueue(change(), ttl_s=1.5)

    stored = decode_change(await redis.get(KEYS.job + job.job_id))
    assert stored.k.ttl_ms == 1500
    assert stored.et == pytest.approx(await Lanes(redis).now_ms(), abs=30_000)


async def test_a_change_that_breaks_a_rule_is_rejected_before_anything_is_written(
    producer: Producer, redis: ArqRedis
) -> None:
    """The message names the field, the rule and the value."""
    with pytest.raises(InvalidChange, match=r"^settings: must be a list of 1 to 10 settings; got 0$"):
        await producer.enqueue(INVALID)

    assert await redis.dbsize() == 0


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 1e300, "5"])
async def test_a_deadline_that_is_past_or_beyond_ten_years_is_rejected(producer: Producer, ttl_s: Any) -> None:
    """Zero, negative, infinite and NaN values, and texts, are errors of the argument `ttl_s`."""
    with pytest.raises(InvalidArgument, match=r"^ttl_s: "):
        await producer.enqueue(change(), ttl_s=ttl_s)


async def test_an_unknown_priority_is_rejected(producer: Producer) -> None:
    """The error names those that there are."""
    urgent: Any = "urgent"
    with pytest.raises(InvalidArgument, match=r"^priority: must be interactive or bulk; got 'urgent'$"):
        await producer.enqueue(change(), priority=urgent)


async def test_a_full_lane_is_reported_with_its_user_trader_and_limit(redis: ArqRedis) -> None:
    """The lane accepts changes again after one of them has ended."""
    producer, lanes = Producer(redis, ProducerSettings(lane_limit=2)), Lanes(redis)
    await producer.enqueue_many(numbered(2))

    with pytest.raises(LaneFull, match="user 1001 and trader t1 holds 2 changes"):
        await producer.enqueue(change())
    await lanes.done(await lanes.claim_one())

    assert not (await producer.enqueue(change())).already_there


@pytest.mark.parametrize("count", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE + 7])
async def test_many_changes_keep_their_order_over_all_chunks(producer: Producer, redis: ArqRedis, count: int) -> None:
    """The jobs in the report have the order of the changes too."""
    report = await producer.enqueue_many(numbered(count))

    lanes = Lanes(redis)
    assert [job.job_id for job in report.jobs] == await lanes.queued(LANE)
    if count:
        assert await values_of(lanes) == [str(number) for number in range(1, count + 1)]
    assert report.refused == []
    assert await lanes.uncovered() == set()


async def test_many_changes_may_come_from_an_async_iterable(producer: Producer, redis: ArqRedis) -> None:
    """Rows of a database cursor, for example; here a few more than one chunk."""

    async def rows() -> AsyncIterator[SettingsChange]:
        for each in numbered(CHUNK_SIZE + 3):
            yield each

    assert len((await producer.enqueue_many(rows())).jobs) == CHUNK_SIZE + 3
    assert len(await Lanes(redis).queued(LANE)) == CHUNK_SIZE + 3


async def test_many_changes_may_come_from_a_generator(producer: Producer) -> None:
    """Each item is read once."""
    given = 0

    def generate() -> Iterator[SettingsChange]:
        nonlocal given
        for each in numbered(3):
            given += 1
            yield each

    assert len((await producer.enqueue_many(generate())).jobs) == given == 3


async def test_refused_changes_among_many_are_reported_by_index_and_do_not_stop_the_others(redis: ArqRedis) -> None:
    """Invalid changes and full lanes, over two chunks."""
    producer = Producer(redis, ProducerSettings(lane_limit=CHUNK_SIZE))
    changes: list[SettingsChange] = [*numbered(CHUNK_SIZE), change(), change("1002")]
    changes.insert(3, INVALID)
    changes.append("no change")  # type: ignore[arg-type]

    report = await producer.enqueue_many(changes)

    assert [(refusal.index, type(refusal.error)) for refusal in report.refused] == [
        (3, InvalidChange),
        (CHUNK_SIZE + 1, LaneFull),
        (CHUNK_SIZE + 3, InvalidChange),
    ]
    assert len(report.jobs) == CHUNK_SIZE + 1
    assert await Lanes(redis).queued(keyspace.lane("1002", "t1")) == [report.jobs[-1].job_id]


async def test_an_iterable_that_fails_raises_its_own_error(producer: Producer, redis: ArqRedis) -> None:
    """The chunks before it stay accepted, and the connection has no replies left on it."""

    def failing() -> Iterator[SettingsChange]:
        yield from numbered(CHUNK_SIZE + 1)
        raise LookupError("no such row")

    with pytest.raises(LookupError, match="no such row"):
        await producer.enqueue_many(failing())

    await producer.enqueue(change("1002"), job_id="after")
    lanes = Lanes(redis)
    assert await lanes.queued(keyspace.lane("1002", "t1")) == ["after"]
    assert await values_of(lanes) == [str(number) for number in range(1, CHUNK_SIZE + 1)]


async def test_an_os_error_of_the_iterable_is_not_taken_for_a_lost_redis_connection(producer: Producer) -> None:
    """A connection error is an OSError too, but the caller must see the error of its own file."""

    def reading() -> Iterator[SettingsChange]:
        yield change()
        raise FileNotFoundError("changes.csv")

    with pytest.raises(FileNotFoundError, match=r"changes\.csv"):
        await producer.enqueue_many(reading())


async def test_a_script_that_the_server_forgot_is_loaded_again(producer: Producer, redis: ArqRedis) -> None:
    """Redis forgets scripts at a restart or a failover."""
    await producer.enqueue(change())
    await redis.script_flush()

    await producer.enqueue(change())

    assert len(await Lanes(redis).queued(LANE)) == 2


async def test_an_unreachable_redis_is_reported_with_the_job_id_to_repeat_with() -> None:
    """Nobody can say whether the change was accepted: only the same job ID is safe."""
    settings = ProducerSettings(redis_timeout_s=2)
    async with Producer.connect(f"redis://127.0.0.1:{free_port()}/0", settings) as producer:
        with pytest.raises(QueueUnavailable, match="repeat it with job_id='order-1'"):
            await producer.enqueue(change(), job_id="order-1")
        with pytest.raises(QueueUnavailable, match=r"repeat it with job_id='[0-9a-f]{32}'"):
            await producer.enqueue(change())
        with pytest.raises(QueueUnavailable, match="the last chunks may or may not be accepted"):
            await producer.enqueue_many(numbered(3))
        with pytest.raises(QueueUnavailable, match="order-1"):
            await producer.job("order-1").status()
        with pytest.raises(QueueUnavailable, match="order-1"):
            await producer.job("order-1").result(timeout=1)


async def test_a_rejected_password_leaves_nothing_in_doubt(valkey_dsn: str) -> None:
    """Of one change and of many: nothing was sent."""
    async with Producer.connect(valkey_dsn.replace("redis://", "redis://:hush@")) as producer:
        with pytest.raises(QueueUnavailable, match=r"^change order-1 was not accepted: Redis got a password"):
            await producer.enqueue(change(), job_id="order-1")
        with pytest.raises(QueueUnavailable, match=r"^nothing was written: Redis got a password"):
            await producer.enqueue_many(numbered(3))


async def test_a_malformed_dsn_is_rejected_before_any_command() -> None:
    """The error names the variable and the schemes it accepts."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_DSN: must start with redis://"):
        Producer.connect("http://localhost")


async def test_a_producer_connects_to_the_redis_of_the_environment(
    valkey_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a DSN as an argument, COPYTRADE_REDIS_DSN applies."""
    monkeypatch.setenv("COPYTRADE_REDIS_DSN", valkey_dsn)

    async with Producer.connect() as producer:
        assert (await (await producer.enqueue(change())).status()).position == 0


async def test_a_stored_job_is_the_change_in_arq_s_format_and_nothing_more(producer: Producer, redis: ArqRedis) -> None:
    """The payload has arq's five fields, and the change is its only argument."""
    await producer.enqueue(change(), job_id="j1")

    stored = msgspec.msgpack.decode(await redis.get(KEYS.job + "j1"))
    assert stored["a"] == [msgspec.to_builtins(change())]
    assert set(stored) == {"t", "f", "a", "k", "et"}

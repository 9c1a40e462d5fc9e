"""When batches expire, how they are listed, and how their end is awaited."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import BatchNotFound, Outcome, Priority, Producer, ProducerSettings, ResultTimeout
from tests.support.changes import change, numbered
from tests.support.contents import contents
from tests.support.fan_outs import end_all, failing_after, to_users, users, where_consistent
from tests.support.lanes import DEFAULTS, Lanes

LIFE_MS = DEFAULTS.result_ttl_s * 1000
SMALL = 5


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.queue.chunks.CHUNK_SIZE", SMALL)


async def test_a_batch_is_complete_only_when_it_is_sealed(producer: Producer, lanes: Lanes) -> None:
    """An unsealed batch, whose producer may have died, gets a TTL when its changes have ended."""
    with pytest.raises(LookupError):
        await producer.fan_out(failing_after(numbered(2 * SMALL), SMALL), batch_id="b")
    await end_all(lanes)
    batch = producer.batch("b")

    assert not (await where_consistent(batch)).complete
    for key in (KEYS.batch, KEYS.batch_members, KEYS.batch_results):
        assert await lanes.redis.pttl(key + "b") == pytest.approx(LIFE_MS, abs=60_000)

    await producer.fan_out(numbered(2 * SMALL), batch_id="b")
    assert await lanes.redis.pttl(KEYS.batch + "b") == await lanes.redis.pttl(KEYS.batch_results + "b") == -1
    await end_all(lanes)

    assert (await where_consistent(batch)).outcomes == {Outcome.APPLIED: 2 * SMALL}
    assert (await where_consistent(batch)).complete


async def test_a_complete_batch_expires_with_its_results(producer: Producer, lanes: Lanes) -> None:
    """Until then it has no TTL."""
    await to_users(producer, users(2))
    first, second = await lanes.claim()
    await lanes.done(first)
    assert await lanes.redis.pttl(KEYS.batch + "b") == await lanes.redis.pttl(KEYS.batch_results + "b") == -1

    await lanes.done(second)

    left = {
        key: ttl for key in await contents(lanes.redis) if (ttl := await lanes.redis.pttl(key)) >= 0 and ":b" in key
    }
    assert {KEYS.batch + "b", KEYS.batch_results + "b"} <= set(left)
    for key, ttl_ms in left.items():
        if "bucket" not in key:
            assert ttl_ms == pytest.approx(LIFE_MS, abs=60_000), key


async def test_no_key_of_a_batch_stays_without_a_ttl(producer: Producer, lanes: Lanes) -> None:
    """Once the batch is complete, only shared keys such as counts and registries last."""
    await to_users(producer, users(3))
    await end_all(lanes)

    lasting = {key for key, (_, _, expires) in (await contents(lanes.redis)).items() if not expires}

    assert lasting <= {KEYS.counts, KEYS.batches, KEYS.egresses, KEYS.wakeups, KEYS.sessions, KEYS.layout}


async def test_the_list_of_batches_is_newest_first_and_drops_expired_ones(producer: Producer, lanes: Lanes) -> None:
    """Listing also removes an expired batch from the index."""
    for name, count in zip("abcd", (1, 0, 1, 2), strict=True):
        await to_users(producer, users(count), name)
    assert {progress.batch_id for progress in await producer.batches()} == set("abcd")
    await lanes.redis.zadd(KEYS.batches, {name: number for number, name in enumerate("abcd")})

    assert [progress.batch_id for progress in await producer.batches()] == ["d", "c", "b", "a"]
    assert [progress.batch_id for progress in await producer.batches(limit=2)] == ["d", "c"]
    await lanes.redis.delete(KEYS.batch + "c")
    assert [progress.batch_id for progress in await producer.batches()] == ["d", "b", "a"]
    assert await lanes.redis.zscore(KEYS.batches, "c") is None


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_list_with_limit_0_has_no_batches(producer: Producer, limit: int) -> None:
    """Nor with a negative limit, which Redis would read as counting from the end."""
    await to_users(producer, users(1))

    assert await producer.batches(limit=limit) == []


async def test_waiters_get_the_progress_when_their_batch_is_complete(producer: Producer, lanes: Lanes) -> None:
    """Several at once, and one that begins to wait afterwards."""
    batch = await to_users(producer, users(3))
    waiting = [asyncio.create_task(batch.wait(timeout=30)) for _ in range(3)]

    await end_all(lanes)

    progresses = [*await asyncio.gather(*waiting), await batch.wait(timeout=0)]
    assert {progress.complete for progress in progresses} == {True}


@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_waiting_for_a_batch_times_out(producer: Producer, lanes: Lanes, timeout: float) -> None:  # noqa: ASYNC109 - what is tested
    """The batch stays queued."""
    batch = await to_users(producer, users(2))
    await lanes.done((await lanes.claim())[0])

    with pytest.raises(ResultTimeout, match=rf"^batch b is not complete within {timeout} s; it stays queued"):
        await batch.wait(timeout=timeout)

    assert (await where_consistent(batch)).ended == 1


async def test_waiting_for_an_unknown_batch_fails_at_once(producer: Producer) -> None:
    """A wait for a batch that does not exist would never end."""
    with pytest.raises(BatchNotFound):
        await producer.batch("nowhere").wait()


async def test_another_process_can_read_a_batch_by_its_id(redis: ArqRedis, producer: Producer, lanes: Lanes) -> None:
    """It can also cancel it; the TTL then follows that process's settings."""
    await to_users(producer, users(2), priority=Priority.INTERACTIVE)
    other = Producer(redis, ProducerSettings(result_ttl_s=7))

    await other.batch("b").cancel()

    progress = await other.batch("b").progress()
    assert progress == await producer.batch("b").progress()
    assert (progress.complete, progress.cancelled, progress.priority) == (True, True, Priority.INTERACTIVE)
    assert 0 < await redis.pttl(KEYS.batch + "b") <= 7_000
    assert await lanes.uncovered() == set()


async def test_a_limited_list_of_batches_skips_expired_ones(producer: Producer, redis: ArqRedis) -> None:
    """The limit counts live batches: four newer expired ones do not hide the oldest."""
    for number in range(5):
        await producer.fan_out([change(str(number))], batch_id=f"b{number}")
    for number in range(1, 5):
        await redis.delete(f"{KEYS.batch}b{number}")

    assert [progress.batch_id for progress in await producer.batches(limit=2)] == ["b0"]
    assert await redis.zcard(KEYS.batches) == 1

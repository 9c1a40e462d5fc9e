"""What hostile runs found: what must hold where producers race, workers die and requests go several ways."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from producers import BatchConflict, Outcome, Producer, SettingsChange
from producers.contract import keyspace
from producers.queue.submit import NO_DIGEST, ChunkDigest, Submission, SubmitOptions, submit
from tests.support.changes import TRADER, change, numbered, setting
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock

LANE = f"1001:{TRADER}"


async def test_a_page_s_cursor_at_the_end_of_a_batch_is_its_end(redis: ArqRedis) -> None:
    """For pages and streams, as often as they are asked."""
    producer, lanes = Producer(redis), Lanes(redis)
    batch = await producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1", "2"], batch_id="b")
    for claim in await lanes.claim():
        await lanes.done(claim)
    page = await batch.page()

    again = await batch.page(page.cursor)

    assert (page.complete, again.complete, again.results, again.cursor) == (True, True, [], page.cursor)
    async with asyncio.timeout(5):
        assert [result async for result in batch.results(after=page.cursor)] == []


async def test_a_chunk_is_refused_whose_run_parted_from_the_batch_before(redis: ArqRedis) -> None:
    """Whoever lost the race for one chunk adds no later one."""
    options = SubmitOptions(1000, batch_id="b", content="changes")

    async def add(number: int, user: str, *, chunk: ChunkDigest, after: ChunkDigest = NO_DIGEST) -> list[int]:
        one = Submission.from_change(change(user), f"b//{number}", options, now_ms=1_000, ttl_ms=60_000)
        call = submit([one], options, chunk=chunk, after=after)
        return list((await call.script.run(redis, call.keys, call.args))[1:])

    ours, theirs = ChunkDigest("c0", "ours"), ChunkDigest("c0", "theirs")
    assert await add(0, "1", chunk=ours) == [1]
    assert await add(0, "2", chunk=theirs) == [-2]
    assert await add(1, "2", chunk=ChunkDigest("c1", "theirs, two"), after=theirs) == [-2]

    assert await add(1, "1", chunk=ChunkDigest("c1", "ours, two"), after=ours) == [2]


async def test_the_list_of_batches_goes_past_expired_ones(redis: ArqRedis) -> None:
    """And forgets them."""
    producer = Producer(redis)
    for number in range(5):
        await producer.fan_out([change(str(number))], batch_id=f"b{number}")
    for number in range(1, 5):
        await redis.delete(f"{keyspace.BATCH}b{number}")

    assert [progress.batch_id for progress in await producer.batches(limit=2)] == ["b0"]
    assert await redis.zcard(keyspace.BATCHES) == 1


async def test_all_letters_are_meant_only_if_it_is_said(redis: ArqRedis) -> None:
    """A filter that turns out to be None must not empty the list."""
    producer = Producer(redis)

    for method in (producer.dead.replay, producer.dead.drop):
        with pytest.raises(TypeError, match="everything=True"):
            await method(user_id=None)
        with pytest.raises(TypeError, match="everything=True"):
            await method("j", everything=True)


async def test_retrying_and_replaying_at_once_sends_each_letter_once(redis: ArqRedis) -> None:
    """Whoever comes first takes it."""
    producer, lanes = Producer(redis), Lanes(redis)
    changes: list[SettingsChange] = numbered(30)
    batch = await producer.fan_out(changes, batch_id="b")
    for _ in changes:
        await lanes.done(await lanes.claim_one(), Outcome.REJECTED)

    await asyncio.gather(batch.retry_failed(), producer.dead.replay(batch_id="b"), return_exceptions=True)

    assert len(await lanes.queued(LANE)) == len(changes)


async def test_what_a_dead_worker_may_have_sent_is_not_told_as_unsent(redis: ArqRedis) -> None:
    """Neither when it is taken back."""
    producer = Producer(redis)
    lanes = Lanes(redis)
    job = await producer.enqueue(change())
    await lanes.claim_one()
    await redis.hset(keyspace.HEAD + LANE, mapping={"lapses": 1})  # type: ignore[misc]
    await redis.hdel(keyspace.HEAD + LANE, "token")  # type: ignore[misc]

    await job.cancel()

    assert "it may have been sent" in (await job.result(0)).message


async def test_a_resumed_lane_of_a_dead_worker_is_due_when_its_lease_is_over(
    fake_redis: ArqRedis, clock: ManualClock
) -> None:
    """Not when its pause would have been looked at again."""
    lanes = Lanes(fake_redis, clock=clock, pacing=PACING)
    producer = Producer(fake_redis)
    await lanes.submit(("j", change()))
    await lanes.claim_one()
    await producer.pause(user_id="1001")
    clock.advance(lanes.settings.lease_s + 0.1)
    assert await lanes.claim() == []

    await producer.resume(user_id="1001")

    assert [claim.job_id for claim in await lanes.claim()] == ["j"]


@pytest.mark.parametrize("others", [[], ["far"]], ids=["one egress", "another in use"])
async def test_a_round_trip_is_credited_only_if_there_is_one_way(
    fake_redis: ArqRedis, clock: ManualClock, others: list[str]
) -> None:
    """The reply of a far way says nothing of a near one."""
    lanes = Lanes(fake_redis, clock=clock, pacing=PACING)
    for name in others:
        await fake_redis.sadd(keyspace.EGRESSES, name)  # type: ignore[misc]
        await fake_redis.hset(keyspace.EGRESS + name, mapping={"tat": 1})  # type: ignore[misc]
    window_ends = []
    for number in range(12):
        await lanes.submit((f"j{number}", change()))
        claims = await lanes.claims()
        while not claims.claims:
            clock.advance(claims.next_due_s or 0.001)
            claims = await lanes.claims()
        (claim,) = claims.claims
        clock.advance(max(0.0, claim.slot_at_s - clock.monotonic()) + 0.05)
        await lanes.done(claim, took_s=0.05)
        entry = await fake_redis.hget(keyspace.bucket(LANE), str(claim.slot_number % 10))  # type: ignore[misc]
        window_ends.append(float(entry or 0) / 1e6 - clock.time())

    credited = PACING.window_us / 1e6 - window_ends[-1]
    assert credited == pytest.approx(0.0 if others else 0.049, abs=0.002)


async def test_two_producers_of_one_batch_with_other_changes_cannot_both_fail(valkey: ArqRedis) -> None:
    """One of them is told of the other; the batch is one of the two."""
    changes = {name: [change(f"{name}{number}") for number in range(1500)] for name in "ab"}
    runs = [Producer(valkey).fan_out(changes[name], batch_id="b") for name in changes]

    ended = await asyncio.gather(*runs, return_exceptions=True)

    assert sorted(isinstance(end, BatchConflict) for end in ended) == [False, True]
    users = {lane.decode()[0] for lane in await valkey.zrange(keyspace.LANES, 0, -1)}
    assert len(users) == 1


async def test_a_rate_raised_while_a_request_is_under_way_is_the_pace_of_turns_at_once(
    fake_redis: ArqRedis, clock: ManualClock
) -> None:
    """The other lanes do not queue behind a turn of the old pace."""
    lanes = Lanes(fake_redis, clock=clock, pacing=PACING)
    producer = Producer(fake_redis)
    await producer.limit_user("1001", 0.1)
    await lanes.submit(*((f"j{number}", change(trader=f"t{number}")) for number in range(5)))
    (claim,) = await lanes.claim()
    await producer.limit_user("1001", 10)
    await lanes.claim()
    clock.advance(0.06)
    await lanes.done(claim, took_s=0.06)

    ended, began_s = 1, clock.monotonic()
    while ended < 5:
        claims = await lanes.claims()
        for one in claims.claims:
            clock.advance(max(0.0, one.slot_at_s - clock.monotonic()))
            await lanes.done(one, took_s=0.0)
            ended += 1
        if ended < 5:
            clock.advance((claims.next_due_s or 0) + 0.001)

    assert clock.monotonic() - began_s < 3

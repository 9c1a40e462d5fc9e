"""Overwritten keys: workers and producers keep running, and other users lose nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from producers import Producer
from producers.contract import keyspace
from producers.errors import ProducerError
from producers.queue.jobs import JobState
from tests.support.changes import TRADER, change
from tests.support.lanes import UNHINDERED, Lanes
from tests.support.manual_clock import START_US, ManualClock
from tests.support.timed_redis import TimedRedis

VICTIM, OTHER = keyspace.lane("1", TRADER), keyspace.lane("2", TRADER)
ROUNDS = 12
A_WHILE_S = 61

garbage = st.binary(max_size=60) | st.sampled_from((b"", b"1e999", b"-inf", b"nan", b"0x10", b"9" * 40, b"-1", b"\xc1"))
lane_names = st.one_of(
    garbage, st.sampled_from((b"1:t1", b":", b"1", b"%", b"1:" + b"t" * 500, b"everything", b"1:t1 x", b"\xff:\xfe"))
)
spoilt_keys = st.sampled_from(
    [prefix + VICTIM for prefix in (keyspace.LANE, keyspace.HEAD)]
    + [
        keyspace.bucket(VICTIM),
        keyspace.JOB + "victim",
        keyspace.RESULT + "victim",
        keyspace.DEAD_LETTER + "victim",
        keyspace.DEAD_LETTERS + "rejected",
    ]
    + [keyspace.COUNTS]
)
head_fields = st.sampled_from(
    ("token", "lapses", "held", "lease", "earliest", "state", "joins", "solo", "urgent", "n", "tat", "turn", "hold",
     "0", "window", "pace", "slow", "faster at", "created", "total", "1", "2")
)  # fmt: skip
writes = st.one_of(
    st.tuples(st.just("SET"), spoilt_keys, garbage),
    st.tuples(st.just("RPUSH"), spoilt_keys, garbage),
    st.tuples(st.just("LPUSH"), st.just(keyspace.LANE + VICTIM), garbage),
    st.tuples(st.just("SADD"), spoilt_keys, garbage),
    st.tuples(st.just("HSET"), spoilt_keys, head_fields, garbage),
    st.tuples(st.just("SET"), st.just(keyspace.JOB + "victim"), garbage),
    st.tuples(
        st.just("ZADD"),
        st.sampled_from((keyspace.SCHEDULE, keyspace.BULK_SCHEDULE, keyspace.LANES)),
        st.just("1"),
        lane_names,
    ),
    st.tuples(st.just("DEL"), spoilt_keys),
)


@given(spoilt=st.lists(writes, min_size=1, max_size=5), early=st.booleans())
def test_overwritten_keys_of_one_user_do_not_harm_another(
    timed_redis: TimedRedis, loop: asyncio.AbstractEventLoop, spoilt: list[tuple[str | bytes, ...]], *, early: bool
) -> None:
    """Claim and settle never raise; the other user's changes end in their order."""
    loop.run_until_complete(_live_through(timed_redis, spoilt, early=early))


async def _live_through(redis: TimedRedis, spoilt: list[tuple[str | bytes, ...]], *, early: bool) -> None:
    await redis.flushall()
    await redis.set_time(START_US)
    clock = ManualClock()
    lanes, producer = Lanes(redis, clock=clock, pacing=UNHINDERED), Producer(redis)
    changes = [("victim", change("1")), ("v2", change("1")), ("o1", change("2")), ("o2", change("2"))]
    await lanes.submit(*changes, now_ms=clock.now_ms)
    if early:
        await _spoil(redis, spoilt)
    ended: list[str] = []
    for number in range(ROUNDS):
        claims = await lanes.claims()
        if number == 0 and not early:
            await _spoil(redis, spoilt)
        for claim in claims.claims:
            settled = await lanes.attempt(claim)
            if settled.finished and claim.lane == OTHER:
                ended.append(claim.job_id)
        clock.advance(A_WHILE_S if number % 2 else 1)
        await redis.set_time(clock.now_us)

    assert ended == ["o1", "o2"]
    for job_id, _ in changes:
        with suppress(ProducerError):
            await producer.job(job_id).cancel()
            status = await producer.job(job_id).status()
            assert job_id.startswith("v") or status.state is JobState.DONE


async def _spoil(redis: TimedRedis, spoilt: list[tuple[str | bytes, ...]]) -> None:
    for command in spoilt:
        await redis.execute_command("EVAL", "redis.pcall(unpack(ARGV))", 0, *command)

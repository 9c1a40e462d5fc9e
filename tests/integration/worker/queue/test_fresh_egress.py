"""The first seconds of an egress: its shortest round trips are not yet the shortest possible ones."""

from __future__ import annotations

import heapq
import random

from ops.keys import KEYS
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.timed_redis import TimedRedis

STARTS = 25
REQUESTS = 60
WAY_US = (30_000, 70_000)
WINDOW_US = 1_000_000


async def arrivals_us(lanes: Lanes, clock: ManualClock, redis: TimedRedis, random_ways: random.Random) -> list[int]:
    """Return when the exchange counts the requests of one user on an egress that was never used."""
    await redis.set_time(clock.now_us)
    await lanes.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(REQUESTS)))
    arrivals: list[int] = []
    replies: list[tuple[int, int, float]] = []  # when, number, round trip
    claimed = {}
    while len(arrivals) < REQUESTS:
        claims = await lanes.claims(1)
        for claim in claims.claims:
            up_us, down_us = (round(random_ways.uniform(*WAY_US)) for _ in "ud")
            sent_us = clock.now_us + max(0, round((claim.slot_at_s - clock.monotonic()) * 1e6))
            claimed[len(arrivals)] = claim
            heapq.heappush(replies, (sent_us + up_us + down_us, len(arrivals), (up_us + down_us) / 1e6))
            arrivals.append(sent_us + up_us)
        next_us = clock.now_us + max(1_000, round((claims.next_due_s or 0.0) * 1e6))
        while replies and (claims.next_due_s is None or replies[0][0] <= next_us):
            at_us, number, took_s = heapq.heappop(replies)
            clock.advance_to_us(at_us)
            await redis.set_time(clock.now_us)
            await lanes.done(claimed.pop(number), took_s=took_s)
            if claims.next_due_s is None:
                break
        clock.advance_to_us(next_us)
        await redis.set_time(clock.now_us)
    return sorted(arrivals)


async def test_a_new_egress_on_a_path_with_jitter_never_has_eleven_in_a_second(valkey_dsn: str) -> None:
    """25 starts, each way takes 30 to 70 ms; what the shortest round trips promise too much is not credited."""
    redis = open_redis(valkey_dsn, TimedRedis, timeout_s=5)
    try:
        for seed in range(STARTS):
            await redis.flushall()
            clock = ManualClock()
            lanes = Lanes(redis, clock=clock, pacing=PACING)
            chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
            arrivals = await arrivals_us(lanes, clock, redis, chance)
            eleventh = [later - first for first, later in zip(arrivals, arrivals[10:], strict=False)]
            assert min(eleventh) >= WINDOW_US, f"start {seed}: eleven requests within {min(eleventh)} us"
            samples = await redis.hget(KEYS.egress + "default", "rtt_count")  # type: ignore[misc]
            assert int(samples or 0) >= 30, "no round trip was credited, so nothing was tested"
    finally:
        await redis.aclose()

"""The part of the round trip that the guard takes off a window: the way back, as far as it is known."""

from __future__ import annotations

import math

import pytest

from ops.keys import KEYS
from producers import Producer
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim

ENOUGH = 30
"""Round trips after which the shortest is credited, as round_trips.lua has it."""


def certain_us(*round_trips_ms: int) -> float:
    """Return what is credited after these round trips: the shortest, less a millisecond and what n samples may miss."""
    shortest = min(round_trips_ms)
    spread = 3 * (sum(round_trips_ms) / len(round_trips_ms) - shortest)
    return 1000 * (shortest - 1 - spread * math.sqrt(2 / len(round_trips_ms)))


async def window_end_us(lanes: Lanes, claim: Claim) -> int:
    """Return when the window of a request ends, by its user's bucket."""
    bucket = await lanes.bucket(claim.lane.partition(":")[0])
    return bucket.ring[claim.slot_number - bucket.slot_number]


async def round_trips(lanes: Lanes, clock: ManualClock, count: int, took_s: float, user: str) -> int:
    """Make requests of one user; return when the last one's window ends, microseconds from its reply."""
    ends_us = 0
    for number in range(count):
        await lanes.submit((f"{user}/{number}", change(user)))
        clock.advance(1.2)
        claim = await lanes.claim_one()
        clock.advance(took_s)
        await lanes.done(claim, took_s=took_s)
        ends_us = await window_end_us(lanes, claim)
    return ends_us - clock.now_us


async def test_no_round_trip_is_credited_before_thirty_were_measured(timed: Lanes, clock: ManualClock) -> None:
    """With 29, the full window is kept between the requests."""
    assert await round_trips(timed, clock, ENOUGH - 1, 0.04, "1") == pytest.approx(PACING.window_us, abs=2)


async def test_equal_round_trips_are_credited_less_a_millisecond(timed: Lanes, clock: ManualClock) -> None:
    """Over all users of the egress."""
    await round_trips(timed, clock, ENOUGH - 1, 0.04, "1")

    assert await round_trips(timed, clock, 1, 0.04, "2") == pytest.approx(PACING.window_us - 39_000, abs=2)


async def test_the_more_round_trips_vary_the_less_of_the_shortest_is_credited(timed: Lanes, clock: ManualClock) -> None:
    """Few of them have hardly shown the shortest possible one."""
    await round_trips(timed, clock, 20, 0.06, "1")

    after_40 = await round_trips(timed, clock, 20, 0.05, "2")
    after_45 = await round_trips(timed, clock, 5, 0.05, "3")

    assert after_40 == pytest.approx(PACING.window_us - certain_us(*[60] * 20, *[50] * 20), abs=2)
    assert after_45 == pytest.approx(PACING.window_us - certain_us(*[60] * 20, *[50] * 25), abs=2)
    assert after_45 < after_40


async def test_the_minimum_round_trip_is_forgotten_when_it_no_longer_occurs(timed: Lanes, clock: ManualClock) -> None:
    """After two minutes."""
    await round_trips(timed, clock, 35, 0.04, "1")

    assert await round_trips(timed, clock, 100, 0.09, "2") == pytest.approx(PACING.window_us - 89_000, abs=2)


async def test_a_path_that_became_shorter_is_measured_anew(timed: Lanes, clock: ManualClock) -> None:
    """A round trip below what was credited shows another path, about which nothing is known."""
    await round_trips(timed, clock, 35, 0.09, "1")

    assert await round_trips(timed, clock, 1, 0.05, "2") == pytest.approx(PACING.window_us, abs=2)
    assert await round_trips(timed, clock, ENOUGH - 2, 0.05, "3") == pytest.approx(PACING.window_us, abs=2)
    assert await round_trips(timed, clock, 1, 0.05, "4") == pytest.approx(PACING.window_us - 49_000, abs=2)


async def test_a_failure_without_a_reply_is_credited_with_no_round_trip(timed: Lanes, clock: ManualClock) -> None:
    """Nobody knows when it arrived, so the latest possible time counts."""
    await round_trips(timed, clock, 35, 0.04, "1")
    await timed.submit(("lost", change("2")))
    claim = await timed.claim_one()

    await timed.back(claim, 1)

    assert await window_end_us(timed, claim) - clock.now_us == pytest.approx(PACING.window_us, abs=2)


async def test_many_egresses_that_were_used_once_are_forgotten_in_bounded_steps(
    timed: Lanes, clock: ManualClock
) -> None:
    """Until then one of them may be in use, so nothing is credited."""
    await round_trips(timed, clock, ENOUGH, 0.04, "1")
    await timed.redis.sadd(KEYS.egresses, *(f"old-{n}" for n in range(500)))  # type: ignore[misc]

    before = await round_trips(timed, clock, 10, 0.04, "2")
    left = await timed.redis.scard(KEYS.egresses)  # type: ignore[misc]
    after = await round_trips(timed, clock, 20, 0.04, "3")

    assert before == pytest.approx(PACING.window_us, abs=2)
    assert 290 <= left <= 311, "each settlement removes at most twenty"
    assert after == pytest.approx(PACING.window_us - 39_000, abs=2)
    assert await timed.redis.smembers(KEYS.egresses) == {b"default"}  # type: ignore[misc]


@pytest.mark.parametrize("others", [[], ["far"]], ids=["one egress", "another in use"])
async def test_a_round_trip_is_credited_only_with_a_single_egress(
    timed: Lanes, clock: ManualClock, others: list[str]
) -> None:
    """A reply over a long way says nothing about a short one."""
    for name in others:
        await timed.redis.sadd(KEYS.egresses, name)  # type: ignore[misc]
        await timed.redis.hset(KEYS.egress + name, mapping={"tat": 1})  # type: ignore[misc]
    window_ends = []
    for number in range(ENOUGH + 2):
        await timed.submit((f"j{number}", change()))
        claims = await timed.claims()
        while not claims.claims:
            clock.advance(claims.next_due_s or 0.001)
            claims = await timed.claims()
        (claim,) = claims.claims
        clock.advance(max(0.0, claim.slot_at_s - clock.monotonic()) + 0.05)
        await timed.done(claim, took_s=0.05)
        window_ends.append(await window_end_us(timed, claim) / 1e6 - clock.time())

    credited = PACING.window_us / 1e6 - window_ends[-1]
    assert credited == pytest.approx(0.0 if others else 0.049, abs=0.002)


async def test_the_first_request_by_another_egress_leaves_a_whole_window_after_the_last_reply(
    timed: Lanes, clock: ManualClock
) -> None:
    """A user with one request a second moves from a long way, which was credited, to one that may be short."""
    await round_trips(timed, clock, 35, 0.2, "1")
    steering = Producer(timed.redis)
    await steering.limit_user("1001", 1)
    near = Lanes(timed.redis, clock=clock, pacing=PACING, settings=DEFAULTS.__class__(egress="near"))
    await timed.submit(("first", change()), ("second", change()))
    claim = await timed.claim_one()
    clock.advance(max(0.0, claim.slot_at_s - clock.monotonic()) + 0.2)
    await timed.done(claim, took_s=0.2)
    replied_us = clock.now_us

    await steering.pin_user("1001", "near")
    claims = await near.claims()
    while not claims.claims:
        clock.advance(claims.next_due_s or 0.001)
        claims = await near.claims()

    assert await near.slot_us(claims.claims[0]) >= replied_us + 1_000_000

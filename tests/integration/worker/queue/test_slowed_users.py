"""A throttled user is held and slowed, and sped up step by step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from producers import Producer
from producers.queue.bucket import LOOK_AHEAD_US
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from tests.support.own_rates import USER, slot_us
from worker.queue.claims import Claim

SECOND_US = 1_000_000


async def backlog(lanes: Lanes, count: int, lanes_of_it: int = 1) -> None:
    now_ms = round(await lanes.now_ms())
    many = ((f"j{n}", change(USER, f"t{n % lanes_of_it}")) for n in range(count))
    await lanes.submit(*many, lane_limit=count, now_ms=now_ms)


async def sent_under(lanes: Lanes, clock: ManualClock, limit_per_s: int, count: int) -> tuple[list[int], list[int]]:
    """Send requests to an exchange with this limit; return when they were granted, and when throttled."""
    granted: list[int] = []
    throttled: list[int] = []
    while len(granted) + len(throttled) < count:
        claims = await lanes.claims()
        for claim in claims.claims:
            at_us = await slot_us(lanes, claim)
            clock.advance_to_us(at_us)
            if sum(one > at_us - SECOND_US for one in granted) >= limit_per_s:
                throttled.append(at_us)
                await lanes.attempt(claim, "throttled")
            else:
                granted.append(at_us)
                await lanes.attempt(claim)
        if not claims.claims:
            assert claims.next_due_s is not None
            clock.advance(claims.next_due_s + 0.001)
    return granted, throttled


async def test_a_hold_delays_all_lanes_of_its_user_and_no_other_user(timed: Lanes, clock: ManualClock) -> None:
    """One lane was throttled for 5 s, and the limit is the user's."""
    await backlog(timed, 3, lanes_of_it=3)
    await timed.back(await timed.claim_one(), 5, hold_s=5)
    held_until_us = clock.now_us + 5_000_000
    await timed.submit(("other", change("2002")))
    assert (await timed.claim_one()).job_id == "other"
    clock.advance(1)
    waiting = await timed.claims()

    assert waiting.claims == []
    assert waiting.next_due_s is not None
    clock.advance(waiting.next_due_s + 0.001)
    assert await slot_us(timed, await timed.claim_one()) >= held_until_us
    assert clock.now_us >= held_until_us - LOOK_AHEAD_US


async def test_a_user_with_half_the_limit_is_slowed_to_half_the_rate(timed: Lanes, clock: ManualClock) -> None:
    """An occasional 429 shows whether the limit is still lower; they become rarer."""
    await backlog(timed, 3000)
    granted, throttled = await sent_under(timed, clock, 5, 2500)

    passed_s = (granted[-1] - granted[0]) / SECOND_US
    assert len(throttled) < 12
    assert len(granted) / passed_s > 4.0, "four fifths of what the exchange allows"
    gaps = [after - before for before, after in pairwise(throttled)]
    assert gaps[-1] > 2 * gaps[1]


async def test_a_slowed_user_whose_limit_recovers_is_sped_up_within_minutes(timed: Lanes, clock: ManualClock) -> None:
    """From a factor of 2.1 back to 1, then ten per second again without a 429."""
    await backlog(timed, 4000)
    await sent_under(timed, clock, 5, 60)
    slowed = (await Producer(timed.redis).user_status(USER)).slowed
    await sent_under(timed, clock, 10, 2500)

    assert slowed == 2.1
    assert (await Producer(timed.redis).user_status(USER)).slowed == 1.0
    granted, throttled = await sent_under(timed, clock, 10, 200)
    assert throttled == []
    assert (granted[-1] - granted[0]) / SECOND_US == pytest.approx(19.9, abs=0.5)


async def test_throttled_requests_that_were_in_flight_together_slow_a_user_once(timed: Lanes) -> None:
    """Six replies of 429 to requests of one pace are one piece of news."""
    await backlog(timed, 10, lanes_of_it=10)
    clock = timed.clock
    assert isinstance(clock, ManualClock)
    claims: list[Claim] = []
    while len(claims) < 6:
        got = await timed.claims()
        claims += got.claims
        clock.advance(got.next_due_s or 0.001)
    for claim in claims:
        await timed.attempt(claim, "throttled")

    assert (await Producer(timed.redis).user_status(USER)).slowed == 2.1


async def test_a_429_to_the_only_request_in_a_window_does_not_slow_the_user(timed: Lanes) -> None:
    """It cannot have met the user's own limit."""
    await backlog(timed, 1)
    await timed.attempt(await timed.claim_one(), "throttled")

    assert (await Producer(timed.redis).user_status(USER)).slowed == 1.0


async def test_an_idle_user_stays_slowed_until_it_would_be_probed(timed: Lanes, clock: ManualClock) -> None:
    """25 s without requests do not show that the limit is higher."""
    await backlog(timed, 100)
    await sent_under(timed, clock, 5, 20)
    await Producer(timed.redis).cancel_user(USER)
    clock.advance(25)

    assert (await Producer(timed.redis).user_status(USER)).slowed == 2.1

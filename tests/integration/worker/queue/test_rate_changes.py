"""Rates that change while requests are in flight: exact in every window."""

from __future__ import annotations

import heapq
import itertools
import random

import pytest

from ops.keys import KEYS
from producers import Producer
from producers.contract import keyspace
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.own_rates import RATES, SOME_RATES, USER, Requests, answered_at_once, backlog, slot_us, window_of
from worker.queue.claims import Claim


@pytest.mark.parametrize("before", SOME_RATES)
@pytest.mark.parametrize("after", SOME_RATES)
async def test_a_changed_rate_holds_from_the_next_claim_on_and_delays_it_by_at_most_a_window(
    timed: Lanes, clock: ManualClock, steering: Producer, before: float | None, after: float | None
) -> None:
    """Up or down, from and to the workers' rate."""
    await steering.limit_user(USER, before)
    await backlog(timed, 30)
    requests = Requests([(slot, before) for slot in await answered_at_once(timed, clock, 15)])
    await steering.limit_user(USER, after)
    changed_us = clock.now_us

    slots = await answered_at_once(timed, clock, 15)

    for slot in slots:
        requests.add(slot, after)
    requests.check()
    longest_s = window_of(after)[1] + 1 / (after or 10)
    assert (slots[0] - changed_us) / 1e6 <= longest_s + 0.01
    assert (slots[-1] - slots[0]) / 1e6 <= 14 / (after or 10) * 1.01 + 0.01


async def test_a_raised_rate_does_not_keep_the_old_pace(timed: Lanes, clock: ManualClock, steering: Producer) -> None:
    """Although a claim was tried in between."""
    await steering.limit_user(USER, 0.1)
    await backlog(timed, 20)
    first, *_ = await answered_at_once(timed, clock, 1)
    assert await timed.claim() == []
    await steering.limit_user(USER, 10)
    assert await timed.claim() == []

    slots = await answered_at_once(timed, clock, 10)

    assert (slots[0] - first) / 1e6 < 1.2
    assert (slots[-1] - slots[0]) / 1e6 < 1


async def test_a_raised_rate_reschedules_a_backlog_of_many_lanes(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """57 lanes that came due one per second are served at 20 per second."""
    await steering.limit_user(USER, 1)
    await backlog(timed, 60, lanes_of_it=60)
    await answered_at_once(timed, clock, 3)
    await steering.limit_user(USER, 20)

    slots = await answered_at_once(timed, clock, 57)

    assert (slots[-1] - slots[0]) / 1e6 < 57 / 20 * 1.2


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 20, None])
async def test_a_request_in_flight_while_the_window_changes_is_waited_for(
    timed: Lanes, clock: ManualClock, steering: Producer, rate: float | None
) -> None:
    """The first request at the new rate is a new window after its reply."""
    await steering.limit_user(USER, 1.5)
    await backlog(timed, 10, lanes_of_it=10)
    (claim,) = await timed.claim()
    await steering.limit_user(USER, rate)
    for _ in range(50):
        assert await timed.claim() == []
        clock.advance(0.02)
    replied_us = clock.now_us
    await timed.done(claim, took_s=1.0)

    (first,) = await answered_at_once(timed, clock, 1)

    assert (first - replied_us) / 1e6 >= window_of(rate)[1]
    assert (first - replied_us) / 1e6 <= window_of(rate)[1] + 0.1


async def test_a_request_lost_during_a_rate_change_does_not_stop_its_user(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """It counts until a second after the end of its session."""
    await backlog(timed, 10, lanes_of_it=10)
    await timed.claim()
    session_end_us = clock.now_us + round(DEFAULTS.session_ttl_s * 1e6)
    await steering.limit_user(USER, 2.5)
    await timed.lapse()
    timed.claimer = timed.new_claimer()

    (first,) = await answered_at_once(timed, clock, 1)

    assert (first - session_end_us) / 1e6 == pytest.approx(1 + window_of(2.5)[1], abs=0.03)


async def test_a_late_settlement_from_before_a_rate_change_does_not_disturb_the_new_window(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """It is fenced, and the new rate holds before and after it."""
    await backlog(timed, 200, lanes_of_it=20)
    lost = await timed.claim()
    requests = Requests()
    await steering.limit_user(USER, 20)
    await timed.lapse()
    timed.claimer = timed.new_claimer()
    for slot in await answered_at_once(timed, clock, 30):
        requests.add(slot, 20)
    assert (await timed.done(lost[0], took_s=0.0)).fenced

    for slot in await answered_at_once(timed, clock, 60):
        requests.add(slot, 20)

    requests.check()


@pytest.mark.parametrize("seed", range(2))
async def test_no_window_exceeds_its_rate_however_often_the_rate_changes(
    timed: Lanes, clock: ManualClock, steering: Producer, seed: int
) -> None:
    """Requests take their time both ways; some are lost with their worker, some never sent."""
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    await backlog(timed, 200, lanes_of_it=8)
    requests, rate, lost = Requests(), None, 0
    numbers = itertools.count()
    under_way: list[tuple[int, int, Claim, float | None]] = []
    while await timed.redis.exists(KEYS.heads + keyspace.escape(USER)):
        if chance.random() < 0.05:
            rate = chance.choice(RATES)
            await steering.limit_user(USER, rate)
        claims = await timed.claims(chance.randint(1, 4))
        for claim in claims.claims:
            fate = chance.random()
            sent_us = await slot_us(timed, claim)
            up_us, down_us = chance.choice((10_000, 10_000, 40_000)), chance.choice((10_000, 10_000, 200_000))
            if fate < 0.05:
                heapq.heappush(under_way, (sent_us, next(numbers), claim, None))
                continue
            requests.add(sent_us + up_us, rate)
            if fate > 0.1:
                replied_us = sent_us + up_us + down_us
                heapq.heappush(under_way, (replied_us, next(numbers), claim, (up_us + down_us) / 1e6))
            else:
                lost += 1
        if claims.next_due_s is not None:
            next_due_us = clock.now_us + round(claims.next_due_s * 1e6) + 1_000
        elif under_way:
            next_due_us = under_way[0][0]
        else:
            assert lost, "nothing will ever be due"
            lost = 0
            await timed.lapse()
            timed.claimer = timed.new_claimer()
            continue
        while under_way and under_way[0][0] <= next_due_us:
            ended_us, _, claim, took_s = heapq.heappop(under_way)
            clock.advance_to_us(ended_us)
            if took_s is None:
                await timed.back(claim, replied=False)
            else:
                await timed.done(claim, took_s=took_s)
        clock.advance_to_us(next_due_us)

    requests.check()
    assert len(requests.seen) >= 200
    assert await timed.uncovered() == set()


async def test_a_lowered_rate_counts_requests_whose_window_was_over_at_the_old_rate(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """Their window is longer now, however often claims look meanwhile. Here the reply to the first one came last."""
    await backlog(timed, 5, lanes_of_it=5)
    slow = await timed.claim_one()
    requests = Requests([(slot, None) for slot in await answered_at_once(timed, clock, 1)])
    clock.advance(0.4)
    requests.add(clock.now_us, None)
    await timed.done(slow, took_s=0.4)
    clock.advance(1.2)
    await steering.limit_user(USER, 0.5)
    assert await timed.claim() == []

    for slot in await answered_at_once(timed, clock, 2):
        requests.add(slot, 0.5)

    requests.check()


async def test_a_second_change_of_the_rate_replaces_one_that_has_not_taken_effect(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """A rate that was set by mistake delays nothing once it is gone, although a claim and a submit saw it."""
    await backlog(timed, 20)
    last, *_ = await answered_at_once(timed, clock, 1)
    await steering.limit_user(USER, 0.01)
    assert await timed.claim() == []
    await timed.submit(("other", change(USER, "t9")))
    assert await timed.claim() == []
    await steering.limit_user(USER, None)

    (first,) = await answered_at_once(timed, clock, 1)

    assert (first - last) / 1e6 <= 0.11


async def test_cancelling_while_the_rate_changes_leaves_the_user_its_new_rate(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """Whatever schedules the user, the window of the old rate is over for it."""
    await steering.limit_user(USER, 0.05)
    await backlog(timed, 4)
    last, *_ = await answered_at_once(timed, clock, 1)
    await steering.limit_user(USER, 5)
    assert await timed.claim() == []
    await steering.job("j1").cancel()

    (first,) = await answered_at_once(timed, clock, 1)

    assert (first - last) / 1e6 == pytest.approx(window_of(5)[1], abs=0.01)


async def test_a_rate_raised_during_a_request_is_the_pace_of_the_other_lanes_at_once(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """From one request in 10 s to 10 per second; four lanes take less than 2 s."""
    await steering.limit_user(USER, 0.1)
    await backlog(timed, 5, lanes_of_it=5)
    (claim,) = await timed.claim()
    await steering.limit_user(USER, 10)
    await timed.claim()
    clock.advance(0.06)
    replied_us = clock.now_us
    await timed.done(claim, took_s=0.06)

    slots = await answered_at_once(timed, clock, 4)

    assert (slots[-1] - replied_us) / 1e6 < 2

"""Changes from one whole rate up to 100/s to another: their windows have the same length, so they hold at once."""

from __future__ import annotations

import itertools

import pytest

from producers import Producer
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from tests.support.own_rates import USER, Requests, answered_at_once, backlog, window_of


@pytest.mark.parametrize(("before", "rate"), [(2, 5), (20, 5), (None, 9)])
async def test_a_request_in_flight_counts_as_one_if_the_window_stays(
    timed: Lanes, clock: ManualClock, steering: Producer, before: float | None, rate: int
) -> None:
    """The windows of whole rates are a second. Until its reply comes, the user has what else is allowed in one."""
    await steering.limit_user(USER, before)
    await backlog(timed, 20, lanes_of_it=20)
    (claim,) = await timed.claim()
    await steering.limit_user(USER, rate)
    others = await answered_at_once(timed, clock, rate - 1)
    clock.advance(5)
    assert await timed.claim() == []
    replied_us = clock.now_us
    await timed.done(claim, took_s=5.0)

    (first,) = await answered_at_once(timed, clock, 1)

    assert (others[-1] - others[0]) / 1e6 <= (rate - 1) / rate
    assert (first - replied_us) / 1e6 == pytest.approx(window_of(rate)[1], abs=0.1)


async def test_workers_with_different_rates_serve_a_user_at_the_lower_one_or_faster(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """As while the rate of all is changed, one worker after the other. Each keeps the limit that it knows."""
    await backlog(timed, 60, lanes_of_it=6)
    requests, slots = Requests(), []
    for rate in itertools.islice(itertools.cycle([10, 5]), 60):
        await steering.limit_user(USER, rate)
        (slot,) = await answered_at_once(timed, clock, 1)
        requests.add(slot, rate)
        slots.append(slot)

    requests.check()
    assert (slots[-1] - slots[0]) / 1e6 <= 59 / 5 * 1.01

"""What a worker may use of an egress's rate, by what it knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.queue.epochs import KnownShares, Usable
from worker.queue.rate import Pacing
from worker.queue.shares import MAX_DELAY_US, WHOLE, floor_share, spending_us

PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=100, margin_percent=0.2, shards=4)
FLOOR = floor_share(4)
E = 1_000_000
EPOCH = 1_790_000_000
LOW, HIGH = 20_000, 940_000


def known(
    shares: tuple[int, ...] = (HIGH, LOW, LOW, LOW),
    next_shares: tuple[int, ...] = (HIGH, LOW, LOW, LOW),
    *,
    at: float = 0.1,
    took_s: float = 0.0,
) -> KnownShares:
    """What a worker was told a tenth of a second into an epoch, when its own clock was at zero."""
    return KnownShares(E, EPOCH, shares, next_shares, EPOCH * E + round(at * E), -took_s, 0.0)


def test_a_share_can_be_used_until_the_slots_of_a_claim_reach_an_epoch_that_is_not_known() -> None:
    """The deadline is when the claim must have been made."""
    share, until_s = known().usable(PACING, 0, 0.0)

    assert share == HIGH
    assert until_s == pytest.approx(2 - 0.1 - spending_us(PACING, HIGH) / E)


def test_without_news_only_the_floor_is_left() -> None:
    """It may be used for ever: no share is less."""
    assert known().usable(PACING, 0, 1.9) == Usable(FLOOR, None)
    assert known().usable(PACING, 0, 1_000.0) == Usable(FLOOR, None)


def test_a_share_that_falls_is_left_before_its_epoch_ends() -> None:
    """Slots that are claimed late in the epoch count in the next one."""
    falling = known(next_shares=(LOW, HIGH, LOW, LOW))

    assert falling.usable(PACING, 0, 0.0).share == HIGH
    assert falling.usable(PACING, 0, 0.85).share < HIGH
    assert falling.usable(PACING, 1, 0.85).share == LOW or falling.usable(PACING, 1, 0.85).share == FLOOR


def test_a_share_that_rises_is_used_when_its_epoch_has_certainly_begun() -> None:
    """If the reply took 100 ms, the home's clock may be that much behind of what it seems."""
    rising = known(next_shares=(LOW, HIGH, LOW, LOW))

    assert rising.usable(PACING, 1, 0.89).share < HIGH
    assert rising.usable(PACING, 1, 0.91).share == HIGH


def test_what_took_long_to_be_known_ends_earlier() -> None:
    """The home's clock was read at some moment between the question and the reply."""
    _, until_s = known().usable(PACING, 0, 0.0)
    _, earlier_s = known(took_s=0.3).usable(PACING, 0, 0.0)

    assert until_s is not None
    assert earlier_s == pytest.approx(until_s - 0.3)


two = st.integers(FLOOR, WHOLE - 3 * FLOOR)


@given(two, two, st.floats(0, 5), st.floats(0, 0.5), st.floats(0, 1))
def test_no_epoch_in_which_a_claim_counts_gives_the_shard_less(
    share: int, next_share: int, now_s: float, took_s: float, way: float
) -> None:
    """Wherever between question and reply the home's clock was read, and up to the deadline of the claim."""
    seen = known((share, 0, 0, 0), (next_share, 0, 0, 0), took_s=took_s)
    usable, until_s = seen.usable(PACING, 0, now_s)
    if until_s is None:
        assert usable == FLOOR
        return
    assert until_s - now_s >= MAX_DELAY_US / E - 1e-5
    home_us = seen.now_us + way * took_s * E  # the home's time when our clock was at zero
    first = int(home_us + now_s * E) // E
    last = int(home_us + until_s * E + spending_us(PACING, usable) - 2) // E
    assert usable <= min(seen.share(0, epoch) for epoch in range(first, last + 1))

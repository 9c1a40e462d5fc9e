"""The estimate of the exchange's time."""

from __future__ import annotations

import pytest

from worker.exchange.clock import SAMPLE_TTL_S, ExchangeClock


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.wall = 1_659_076_670_000
        self.mono = 1_000.0

    def wall_ms(self) -> int:
        """Where it was put."""
        return self.wall

    def monotonic(self) -> float:
        """Where it was put."""
        return self.mono

    async def sleep(self, seconds: float) -> None:
        """Moves it."""
        self.mono += seconds


@pytest.fixture
def hand() -> HandClock:
    return HandClock()


@pytest.fixture
def exchange(hand: HandClock) -> ExchangeClock:
    """An estimator without samples."""
    return ExchangeClock(hand)


def test_before_the_first_reply_the_wall_clock_is_used(exchange: ExchangeClock, hand: HandClock) -> None:
    """There is no better estimate yet."""
    assert exchange.now_ms() == hand.wall


def test_the_exchange_s_time_is_that_of_the_middle_of_the_round_trip(exchange: ExchangeClock, hand: HandClock) -> None:
    """Sent at 1000.0 s, received at 1000.2 s: `requestTime` was 0.1 s ago."""
    exchange.add_sample(1_000.0, 1_000.2, 1_700_000_000_000)
    hand.mono = 1_000.2

    assert exchange.now_ms() == 1_700_000_000_100


def test_a_step_of_the_wall_clock_changes_nothing(exchange: ExchangeClock, hand: HandClock) -> None:
    """The offset is kept against the monotonic clock; the step is one hour."""
    exchange.add_sample(1_000.0, 1_000.0, 1_700_000_000_000)

    hand.wall += 3_600_000
    hand.mono += 5

    assert exchange.now_ms() == 1_700_000_005_000


def test_a_shorter_round_trip_replaces_a_longer_one(exchange: ExchangeClock, hand: HandClock) -> None:
    """Its estimate has the smaller error."""
    exchange.add_sample(1_000.0, 1_000.4, 1_700_000_000_000)
    exchange.add_sample(1_001.0, 1_001.0, 1_700_000_005_000)
    hand.mono = 1_001.0

    assert exchange.now_ms() == 1_700_000_005_000


def test_a_longer_round_trip_does_not_replace_a_shorter_one(exchange: ExchangeClock, hand: HandClock) -> None:
    """A reply that was delayed on its way would shift the estimate."""
    exchange.add_sample(1_000.0, 1_000.0, 1_700_000_000_000)
    exchange.add_sample(1_001.0, 1_003.0, 1_700_000_001_100)
    hand.mono = 1_003.0

    assert exchange.now_ms() == 1_700_000_003_000


def test_an_old_sample_is_replaced_by_a_new_one(exchange: ExchangeClock, hand: HandClock) -> None:
    """Clocks drift, so after its lifetime even a longer round trip is better."""
    exchange.add_sample(1_000.0, 1_000.0, 1_700_000_000_000)
    late = 1_000.0 + SAMPLE_TTL_S + 2
    exchange.add_sample(late - 2, late, 1_700_000_090_000)
    hand.mono = late

    assert exchange.now_ms() == 1_700_000_091_000


def test_after_forgetting_the_next_sample_counts_whatever_its_round_trip(
    exchange: ExchangeClock, hand: HandClock
) -> None:
    """The exchange has rejected a timestamp, so the old estimate is wrong."""
    exchange.add_sample(1_000.0, 1_000.0, 1_700_000_000_000)

    exchange.reset()
    assert exchange.now_ms() == hand.wall

    exchange.add_sample(1_000.0, 1_004.0, 1_700_000_100_000)
    hand.mono = 1_004.0
    assert exchange.now_ms() == 1_700_000_102_000

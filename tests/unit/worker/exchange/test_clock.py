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

    def uptime(self) -> float:
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


def replies(exchange: ExchangeClock, hand: HandClock, *times_ms: int, every_s: float = 5.0) -> list[bool]:
    """Return what the estimator says of replies with these times, each after a round trip of 100 ms."""
    found = []
    for time_ms in times_ms:
        hand.mono += every_s
        found.append(exchange.add_sample(hand.mono - 0.1, hand.mono, time_ms))
    return found


T = 1_700_000_000_000


@pytest.mark.parametrize("early_ms", [1_200, 60_000, 3_600_000])
def test_a_reply_from_before_its_request_is_stale(exchange: ExchangeClock, hand: HandClock, early_ms: int) -> None:
    """It is no sample either: the next reply is compared with the old estimate."""
    assert replies(exchange, hand, T, T + 5_000 - early_ms, T + 10_000) == [True, False, True]
    assert exchange.now_ms() == T + 10_050


@pytest.mark.parametrize("off_ms", [-900, 0, 900])
def test_servers_of_the_exchange_may_disagree_by_a_second(
    exchange: ExchangeClock, hand: HandClock, off_ms: int
) -> None:
    """So does a server that writes whole seconds."""
    assert replies(exchange, hand, T, T + 5_000 + off_ms, T + 10_000) == [True, True, True]


def test_a_long_round_trip_of_the_estimate_is_allowed_for(exchange: ExchangeClock) -> None:
    """The offset is known to half of its round trip, here 2 s."""
    exchange.add_sample(1_000.0, 1_004.0, T)

    assert not exchange.add_sample(1_010.0, 1_010.1, T + 4_900)
    assert exchange.add_sample(1_010.0, 1_010.1, T + 5_100)


@pytest.mark.parametrize("every_s", [0.1, 5.0, 600.0])
def test_a_constant_time_is_no_clock(exchange: ExchangeClock, hand: HandClock, every_s: float) -> None:
    """Some stand-ins of the exchange send the documentation's example."""
    assert replies(exchange, hand, T, T, T, T, every_s=every_s) == [True] * 4


@pytest.mark.parametrize("every_s", [0.5, 5.0])
def test_a_reply_that_is_sent_again_is_stale_each_time(
    exchange: ExchangeClock, hand: HandClock, every_s: float
) -> None:
    """The clock was seen to run, so its last time is no constant."""
    replies(exchange, hand, T, T + 5_000)
    hand.mono += 5

    assert replies(exchange, hand, *[T + 5_000] * 5, every_s=every_s) == [False] * 5


def test_after_five_seconds_of_replies_that_are_stale_alike_the_estimate_is_corrected(
    exchange: ExchangeClock, hand: HandClock
) -> None:
    """The exchange's clock was set back by 20 s."""
    found = replies(exchange, hand, T, *(T + 2_000 * n - 20_000 for n in range(1, 7)), every_s=2.0)

    assert found == [True, False, False, False, True, True, True]
    assert exchange.now_ms() == T + 12_000 - 20_000 + 50


def test_a_constant_beside_a_running_clock_is_found_out(exchange: ExchangeClock, hand: HandClock) -> None:
    """The time request has a clock, but replies to changes have the documentation's example."""
    found = replies(exchange, hand, T, *[T - 10**9] * 6, every_s=2.0)

    assert found == [True, False, False, False, True, True, True]


def test_stale_replies_that_differ_never_correct_the_estimate(exchange: ExchangeClock, hand: HandClock) -> None:
    """Replies left over from other requests."""
    left_over = [T - 50_000, T - 9_000, T - 30_000, T - 2_000, T - 70_000]

    assert replies(exchange, hand, T, *left_over) == [True] + [False] * 5


def test_stale_replies_between_good_ones_never_correct_the_estimate(exchange: ExchangeClock, hand: HandClock) -> None:
    """A good reply proves the estimate."""
    times = [T + 2_000 * n - (0 if n % 3 == 0 else 60_000) for n in range(10)]

    assert replies(exchange, hand, *times, every_s=2.0) == [n % 3 == 0 for n in range(10)]


def test_a_first_reply_from_before_its_request_is_stale_by_the_wall_clock(
    exchange: ExchangeClock, hand: HandClock
) -> None:
    """The exchange's time could not be asked for at start; this reply is a minute old."""
    assert not exchange.add_sample(1_000.0, 1_000.1, hand.wall - 60_000)
    assert exchange.add_sample(1_000.2, 1_000.3, hand.wall + 250)


def test_a_wall_clock_that_is_ahead_is_corrected(exchange: ExchangeClock, hand: HandClock) -> None:
    """At once by a reply that is about the time; by others after five seconds that agree."""
    assert not exchange.add_sample(1_000.0, 1_000.1, hand.wall - 60_000)
    assert exchange.add_sample(1_006.0, 1_006.1, hand.wall - 54_000)

    exchange.reset()

    assert exchange.add_sample(1_007.0, 1_007.1, hand.wall - 53_000, corrects_wall_clock=True)


def test_a_first_time_that_no_left_over_reply_has_is_no_clock(exchange: ExchangeClock, hand: HandClock) -> None:
    """Such as a constant of years ago, or a clock that is minutes behind."""
    assert exchange.add_sample(1_000.0, 1_000.1, hand.wall - 180_000)

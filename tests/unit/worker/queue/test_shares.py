"""How the rate of an egress is divided among shards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import SettingsError
from worker.queue.rate import Pacing
from worker.queue.shares import (
    MIN_EPOCH_US,
    WHOLE,
    Demand,
    allocate,
    epoch_us,
    floor_share,
    has_changed,
    pace_us,
)

IDLE = Demand()
MINUTE_US = 60_000_000

rates = st.floats(0, 10_000_000)
demands = st.lists(st.builds(Demand, rates, rates, st.floats(0, 1000)), min_size=1, max_size=64)


def shares_of(*some: Demand, egress: float = 100) -> list[int]:
    return allocate(some, egress_rate_per_s=egress)


def pacing(egress: float, shards: int) -> Pacing:
    return Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=egress, margin_percent=0.2, shards=shards)


@given(demands, st.floats(0.1, 1000))
def test_shares_are_one_million_together_and_none_is_below_the_floor(some: list[Demand], egress: float) -> None:
    """Whatever the shards have to send."""
    shares = shares_of(*some, egress=egress)

    assert sum(shares) == WHOLE
    assert min(shares) >= floor_share(len(some))


@given(demands, st.data(), st.sampled_from(["interactive_per_s", "bulk_per_s"]), st.floats(1, 10_000))
def test_a_shard_with_more_to_send_has_no_smaller_share(
    some: list[Demand], data: st.DataObject, kind: str, more: float
) -> None:
    """But for what is lost in rounding to millionths."""
    number = data.draw(st.integers(0, len(some) - 1))
    busier = list(some)
    busier[number] = replace(some[number], **{kind: getattr(some[number], kind) + more})

    assert shares_of(*busier)[number] >= shares_of(*some)[number] - len(some)


def test_shards_without_work_have_equal_shares() -> None:
    """What arrives anywhere leaves at once."""
    assert shares_of(IDLE, IDLE, IDLE, IDLE) == [250_000] * 4


def test_a_shard_that_alone_has_work_gets_nearly_the_whole_rate() -> None:
    """The others keep a floor, and a part of what is kept for interactive changes."""
    shares = shares_of(IDLE, Demand(bulk_per_s=5000), IDLE, IDLE)

    assert shares[1] > 930_000
    assert min(shares) > 15_000


def test_a_shard_that_sends_as_fast_as_it_may_keeps_its_share_although_nobody_is_seen_waiting() -> None:
    """Users that are served at once are not due when they are counted."""
    assert shares_of(IDLE, Demand(sent_per_s=95), IDLE, IDLE)[1] > 900_000


def test_interactive_changes_of_a_shard_go_before_the_bulk_backlog_of_another() -> None:
    """As in one shard, the backlog keeps a tenth."""
    interactive, bulk = shares_of(Demand(interactive_per_s=2000), Demand(bulk_per_s=1_000_000))

    assert interactive > 880_000
    assert bulk >= 100_000


def test_a_backlog_leaves_to_interactive_changes_what_they_can_use() -> None:
    """Three users with a backlog can use thirty requests a second of a hundred."""
    interactive, bulk = shares_of(Demand(interactive_per_s=30), Demand(bulk_per_s=1_000_000))

    assert 300_000 < interactive < 350_000
    assert bulk > 600_000


def test_small_changes_of_the_work_leave_the_shares_as_they_are() -> None:
    """While shares move, a part of the rate is not used."""
    assert not has_changed([500_000, 500_000], [560_000, 440_000])
    assert not has_changed([990_000, 10_000], [975_000, 25_000])
    assert has_changed([500_000, 500_000], [640_000, 360_000])


@pytest.mark.parametrize(("egress", "shards"), [(100, 2), (100, 4), (100, 64), (20, 4), (8000, 3), (1, 4)])
def test_all_shards_together_send_no_more_in_a_minute_than_one_would(egress: float, shards: int) -> None:
    """Each may begin with one request, whatever its share; the pace makes up for these."""
    one, many = pacing(egress, 1), pacing(egress, shards)

    def most(figures: Pacing) -> float:
        return (MINUTE_US + figures.egress_burst_us) / figures.egress_pace_us

    assert most(many) + shards <= most(one) + 1 + shards / 100
    assert sum(1 / pace_us(many, share) for share in [WHOLE // shards] * shards) <= 1 / many.egress_pace_us


def test_a_rate_that_is_too_low_for_so_many_shards_is_refused() -> None:
    """The message says how high it must be."""
    with pytest.raises(SettingsError, match=r"1 is too low for 64 shards.* at least 2\.12"):
        pacing(1, 64)


def test_an_epoch_is_a_second_and_longer_for_many_shards() -> None:
    """The slots of a claim at half of an equal share are spent well within an epoch."""
    assert epoch_us(pacing(100, 4), 4) == MIN_EPOCH_US
    assert 2_000_000 < epoch_us(pacing(100, 64), 64) < 3_000_000

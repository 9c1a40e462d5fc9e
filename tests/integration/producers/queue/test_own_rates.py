"""Rates of single users: exact in every window, validated, shown and removed."""

from __future__ import annotations

from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import InvalidLimit, Producer
from producers.contract import keyspace
from tests.support.changes import change
from tests.support.contents import contents
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from tests.support.own_rates import USER, Requests, answered_at_once, backlog, window_of
from worker.queue.claims import Requeue


@pytest.mark.parametrize("rate", [0.5, 2.5, 9.5, 20, 80])
async def test_a_user_is_sent_for_at_its_own_rate(
    timed: Lanes, clock: ManualClock, steering: Producer, rate: float
) -> None:
    """Exact in every window, and no slower than the margin; other users keep the workers' rate."""
    await steering.limit_user(USER, rate)
    await backlog(timed, 60)
    slots = await answered_at_once(timed, clock, 60)

    Requests([(slot, rate) for slot in slots]).check()
    # Whichever is slower: the pace with its margin, or the guard, whose window is a millisecond longer.
    count, window_s = window_of(rate)
    slowest_s = max(1 / rate * (1 + PACING.margin_ppm / 1e6), (window_s + 0.001) / count) + 1e-5
    assert (slots[-1] - slots[0]) / 1e6 <= 59 * slowest_s
    await timed.submit(*((f"other{n}", change("other")) for n in range(20)))
    others = await answered_at_once(timed, clock, 20)
    assert (others[-1] - others[0]) / 1e6 == pytest.approx(1.9, abs=0.2)


@pytest.mark.parametrize(
    "rate", [0, -1, 0.009, 1000.1, float("nan"), float("inf"), True, "5", 10**400], ids=lambda rate: str(rate)[:9]
)
async def test_an_invalid_rate_is_rejected_and_changes_nothing(producer: Producer, redis: ArqRedis, rate: Any) -> None:
    """The bounds are 0.01 and 1000 per second; the rate set before stays in force."""
    await producer.limit_user("1", 5)
    before = await contents(redis)

    with pytest.raises(InvalidLimit, match=r"^rate_per_s: must be a number of requests per second from 0\.01 to 1000"):
        await producer.limit_user("1", rate)

    assert await contents(redis) == before


@pytest.mark.parametrize("rate", [0.01, 5, 7.25, 1000])
@pytest.mark.parametrize("user", ["1001", "a:b", "100%"])
async def test_a_user_s_own_rate_is_shown_until_it_is_removed(
    producer: Producer, redis: ArqRedis, user: str, rate: float
) -> None:
    """And leaves no key behind."""
    await producer.limit_user(user, rate)
    assert (await producer.user_status(user)).rate_per_s == rate
    assert (await producer.user_status("other")).rate_per_s is None

    await producer.limit_user(user, None)
    await producer.limit_user(user, None)

    assert (await producer.user_status(user)).rate_per_s is None
    assert await contents(redis) == {}


async def test_settling_after_a_rate_change_keeps_the_lane_covered(lanes: Lanes, producer: Producer) -> None:
    """Numbers in the bucket stay whole, on the real server too."""
    await lanes.submit(*((f"j{n}", change(USER)) for n in range(3)))
    for rate in (2.5, 1000, 0.01):
        claim = await lanes.claim_one() if await lanes.queued(keyspace.lane(USER, "t1")) else None
        await producer.limit_user(USER, rate)
        if claim is not None:
            settlement = Requeue(claim=claim, history=b"", reason="a test's", request=lanes.request(claim, 0.02))
            assert not (await lanes.settler.settle(settlement)).fenced
        assert await lanes.uncovered() == set()
        assert (await lanes.bucket(keyspace.escape(USER))).slot_number > 0, "it can be read"
        await lanes.redis.delete(KEYS.bucket_of(keyspace.lane(USER, "t1")))
        await lanes.due_now(keyspace.lane(USER, "t1"))


@pytest.mark.parametrize("rate", ["", "x", "nan", "-inf", "inf", "1e999", "-5", "0"])
async def test_a_malformed_stored_rate_does_not_stop_its_user(lanes: Lanes, rate: str) -> None:
    """Nor other users."""
    await lanes.redis.hset(KEYS.rates, "1001", rate)  # type: ignore[misc]
    await lanes.submit(("j1", change()), ("j2", change("1002")))

    assert {claim.job_id for claim in await lanes.claim()} == {"j1", "j2"}
    assert await lanes.uncovered() == set()

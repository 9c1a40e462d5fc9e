"""A request of unknown fate may be applied late, and would then overwrite the value of the lane's next change."""

from __future__ import annotations

import pytest

from producers import Producer
from producers.contract import keyspace
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock

LANE = keyspace.lane(change().user_id, change().trader_id)
LATE_S = 4.0


async def next_change_after_s(lanes: Lanes, clock: ManualClock) -> float:
    """Return after how many seconds the lane's next change can be claimed."""
    began_s = clock.monotonic()
    while not (claims := await lanes.claims()).claims:
        assert claims.next_due_s is not None
        clock.advance(max(0.001, claims.next_due_s))
    assert [claim.job_id for claim in claims.claims] == ["j2"]
    return clock.monotonic() - began_s


async def lose_the_first(lanes: Lanes, clock: ManualClock) -> None:
    """Send the lane's first change with an unknown fate, so that it is sent again at once."""
    await lanes.submit(("j1", change()), now_ms=clock.now_ms)
    await lanes.attempt(await lanes.claim_one(), "ambiguous", late_for_s=LATE_S)
    clock.advance(0.3)


async def test_the_next_change_waits_until_a_request_of_unknown_fate_cannot_be_applied(
    timed: Lanes, clock: ManualClock
) -> None:
    """The lost change itself is repeated at once."""
    await lose_the_first(timed, clock)
    await timed.submit(("j2", change()), now_ms=clock.now_ms)
    repeated = await timed.claim_one()
    await timed.attempt(repeated)

    assert repeated.job_id == "j1"
    assert await next_change_after_s(timed, clock) == pytest.approx(LATE_S - 0.3, abs=0.03)


async def test_a_change_for_a_lane_that_was_empty_waits_too(timed: Lanes, clock: ManualClock) -> None:
    """The lost change may have ended before the next one is enqueued; waking the user does not send it sooner."""
    await lose_the_first(timed, clock)
    await timed.attempt(await timed.claim_one())
    await timed.submit(("j2", change()), ("other", change(trader="t9")), now_ms=clock.now_ms)
    await Producer(timed.redis).resume(user_id=change().user_id)
    clock.advance(0.2)
    other = await timed.claim_one()
    await timed.attempt(other)

    assert other.job_id == "other"
    assert await next_change_after_s(timed, clock) == pytest.approx(LATE_S - 0.5, abs=0.03)


async def test_the_next_change_waits_although_the_lost_one_was_cancelled(timed: Lanes, clock: ManualClock) -> None:
    """Its request may be applied all the same."""
    await lose_the_first(timed, clock)
    await timed.submit(("j2", change()), now_ms=clock.now_ms)
    await Producer(timed.redis).job("j1").cancel()

    assert await next_change_after_s(timed, clock) == pytest.approx(LATE_S - 0.3, abs=0.03)


async def test_the_next_change_waits_for_the_request_of_a_worker_that_died(timed: Lanes, clock: ManualClock) -> None:
    """It may have been sent until the session ended, and may be applied for as long as a request takes."""
    await timed.submit(("j1", change()), ("j2", change()), now_ms=clock.now_ms)
    await timed.claim_one()
    over_at_s = clock.monotonic() + DEFAULTS.session_ttl_s + DEFAULTS.connect_timeout_s + DEFAULTS.request_timeout_s
    await timed.lapse()
    timed.claimer = timed.new_claimer()
    await timed.attempt(await timed.claim_one())

    await next_change_after_s(timed, clock)

    assert clock.monotonic() == pytest.approx(over_at_s, abs=0.05)


async def test_a_request_whose_fate_is_known_delays_nothing(timed: Lanes, clock: ManualClock) -> None:
    """A reply came, or the request was never sent."""
    await timed.submit(("j1", change()), ("j2", change()), now_ms=clock.now_ms)
    await timed.back(await timed.claim_one(), replied=False)
    clock.advance(0.3)
    await timed.attempt(await timed.claim_one())

    assert await next_change_after_s(timed, clock) < 0.3


async def test_no_newer_change_goes_with_the_repetition_of_a_lost_request(timed: Lanes, clock: ManualClock) -> None:
    """Although it may be coalesced: the lost request would overwrite it."""
    await timed.submit(("j1", change()), coalesce=True, now_ms=clock.now_ms)
    await timed.attempt(await timed.claim_one(), "ambiguous", late_for_s=LATE_S)
    await timed.submit(("j2", change()), coalesce=True, now_ms=clock.now_ms)
    clock.advance(0.3)
    repeated = await timed.claim_one()
    await timed.attempt(repeated)

    assert (repeated.job_id, repeated.coalescable) == ("j1", ())
    assert await next_change_after_s(timed, clock) == pytest.approx(LATE_S - 0.3, abs=0.03)


async def test_the_repetition_of_a_lost_request_carries_the_same_changes(timed: Lanes, clock: ManualClock) -> None:
    """Else the first one's value would follow the newer ones."""
    await timed.submit(*((f"j{n}", change()) for n in (1, 2, 3)), coalesce=True, now_ms=clock.now_ms)
    await timed.attempt(await timed.claim_one(), "ambiguous", late_for_s=LATE_S)
    await timed.submit(("j4", change()), coalesce=True, now_ms=clock.now_ms)
    clock.advance(0.3)

    claim = await timed.claim_one()

    assert [job_id for job_id, _ in claim.coalescable] == ["j2", "j3"]


@pytest.mark.parametrize("in_flight", [False, True])
@pytest.mark.parametrize(("cancelled", "left"), [("j2", ["j3", "j4"]), ("j3", ["j2", "j4"])])
async def test_a_group_of_which_a_change_was_cancelled_is_not_repeated_before_the_lost_request_is_over(
    timed: Lanes, clock: ManualClock, cancelled: str, left: list[str], in_flight: bool
) -> None:
    """Whether the rest is what was sent is not known: a request holds ten settings, and the next change may fit now."""
    await timed.submit(*((f"j{n}", change()) for n in (1, 2, 3)), coalesce=True, now_ms=clock.now_ms)
    claim = await timed.claim_one()
    if in_flight:
        await Producer(timed.redis).job(cancelled).cancel()
    await timed.attempt(claim, "ambiguous", late_for_s=LATE_S)
    if not in_flight:
        await Producer(timed.redis).job(cancelled).cancel()
    await timed.submit(("j4", change()), coalesce=True, now_ms=clock.now_ms)
    clock.advance(0.3)
    early = await timed.claim()
    clock.advance(LATE_S)

    claim = await timed.claim_one()

    assert early == []
    assert (claim.job_id, [job_id for job_id, _ in claim.coalescable]) == ("j1", left)


async def test_a_lost_group_that_is_rejected_is_sent_one_by_one_when_the_lost_request_is_over(
    timed: Lanes, clock: ManualClock
) -> None:
    """Its first change alone is no repetition."""
    await timed.submit(("j1", change()), ("j2", change()), coalesce=True, now_ms=clock.now_ms)
    await timed.attempt(await timed.claim_one(), "ambiguous", late_for_s=LATE_S)
    clock.advance(0.3)
    await timed.attempt(await timed.claim_one(), "permanent", code="40017")
    clock.advance(0.5)
    early = await timed.claim()
    clock.advance(LATE_S)

    claim = await timed.claim_one()

    assert early == []
    assert (claim.job_id, claim.coalescable) == ("j1", ())


async def test_all_changes_go_together_once_the_lost_request_is_over(timed: Lanes, clock: ManualClock) -> None:
    """The boundary of an earlier request does not stay."""
    await timed.submit(("j1", change()), ("j2", change()), coalesce=True, now_ms=clock.now_ms)
    await timed.attempt(await timed.claim_one(), "ambiguous", late_for_s=LATE_S)
    await timed.submit(("j3", change()), coalesce=True, now_ms=clock.now_ms)
    clock.advance(LATE_S)

    claim = await timed.claim_one()

    assert [job_id for job_id, _ in claim.coalescable] == ["j2", "j3"]


async def test_a_lane_among_many_of_its_user_is_held_back_as_well(timed: Lanes, clock: ManualClock) -> None:
    """Waking the user does not make it due before the lost request is over."""
    await lose_the_first(timed, clock)
    await timed.attempt(await timed.claim_one())
    await timed.submit(*((f"o{n}", change(trader=f"o{n}")) for n in range(100)), now_ms=clock.now_ms)
    await timed.submit(("j2", change()), now_ms=clock.now_ms)
    over_at_ms = clock.now_ms + (LATE_S - 0.3) * 1000

    await Producer(timed.redis).resume(user_id=change().user_id)

    assert await timed.ready_ms(LANE) == pytest.approx(over_at_ms, abs=1)
    while clock.now_ms < over_at_ms - 50:
        claims = await timed.claims()
        for claim in claims.claims:
            assert claim.job_id != "j2"
            await timed.attempt(claim)
        clock.advance((claims.next_due_s or 0) + 0.001)

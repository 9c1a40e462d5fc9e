"""What the metrics count of claims, settlements and sessions."""

from __future__ import annotations

from ops.keys import KEYS
from producers import Priority
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock


async def test_a_claim_counts_how_long_its_user_was_due(timed: Lanes, clock: ManualClock) -> None:
    """By the priority that the lane is claimed as, which the claim knows."""
    await timed.submit(("a", change("1001")), now_ms=clock.now_ms)
    clock.advance(2)
    await timed.submit(("b", change("1002")), now_ms=clock.now_ms, priority=Priority.BULK)
    clock.advance(0.5)

    claims = {claim.job_id: claim.priority for claim in await timed.claim()}

    delays = {labels: found.total for labels, found in timed.claimer._metrics.claim_delay.distributions.items()}
    assert claims == {"a": Priority.INTERACTIVE, "b": Priority.BULK}
    assert delays == {("interactive",): 2.5, ("bulk",): 0.5}


async def test_the_delay_of_a_change_that_is_tried_again_counts_from_the_end_of_its_back_off(
    timed: Lanes, clock: ManualClock
) -> None:
    """The wait was wanted."""
    await timed.submit(("a", change()), now_ms=clock.now_ms)
    await timed.back(await timed.claim_one(), delay_s=30)
    clock.advance(30.25)
    await timed.claim_one()

    assert round(timed.claimer._metrics.claim_delay.distributions["interactive",].total, 3) == 0.25


async def test_a_users_score_that_is_no_time_hides_no_claim(timed: Lanes) -> None:
    """Whoever wrote it, the delay is a number."""
    await timed.submit(("a", change()))
    await timed.redis.zadd(KEYS.schedule, {"1001": float("-inf")})

    assert (await timed.claim_one()).job_id == "a"


async def test_a_lost_session_and_calls_of_scripts_count(timed: Lanes) -> None:
    """The worker learns of it at its next renewal."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    await timed.lapse()
    session = timed.claimer.session
    await session.renew()
    await timed.done(claim)

    assert session._metrics.sessions_lapsed.values == {(): 1}
    calls = [
        (script, sum(found.counts) > 0)
        for each in (session, timed.claimer, timed.settler)
        for (script,), found in each._metrics.redis_call_duration.distributions.items()
    ]
    assert calls == [("renew.lua", True), ("claim.lua", True), ("settle.lua", True)]

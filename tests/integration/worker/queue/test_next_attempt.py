"""What a settlement says about the next attempt is the time at which the lane is claimed again, not when it is due."""

from __future__ import annotations

import logging

import pytest

from producers import Producer
from producers.logs import ATTRIBUTE
from producers.queue.breaker import BreakerEvent
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from worker.attempt.log import log_attempt
from worker.queue.claims import Claim, Requeue

MAX_ROUNDS = 100
EXACT_S = 0.05
"""How much earlier than its slot a lane is claimed, and how finely the test moves the clock."""


async def claimed_after_s(lanes: Lanes, clock: ManualClock, job_id: str) -> float:
    """Return how many seconds pass until a change is claimed; other claims end well."""
    began_s = clock.monotonic()
    while clock.monotonic() - began_s < 100:
        claims = await lanes.claims()
        if job_id in [claim.job_id for claim in claims.claims]:
            return clock.monotonic() - began_s
        for claim in claims.claims:
            await lanes.attempt(claim, "success", code="00000")
        clock.advance(0.01)
    raise AssertionError("it is not claimed any more")


async def first_claim(lanes: Lanes, clock: ManualClock, user: str = "1") -> Claim:
    await lanes.submit((f"j{user}", change(user)), now_ms=clock.now_ms)
    return await lanes.claim_one()


async def open_breaker(lanes: Lanes, clock: ManualClock) -> tuple[str, float]:
    """Let every claim fail until the breaker opens; return the last change, and when it can be attempted again."""
    for _ in range(MAX_ROUNDS):
        for claim in await lanes.claim():
            settled = await lanes.back(claim, 0.05)
            if settled.breaker is BreakerEvent.OPENED:
                return claim.job_id, settled.again_in_s
        clock.advance(0.1)
    raise AssertionError("it does not open")


@pytest.mark.parametrize(("delay_s", "hold_s"), [(3.0, 0.0), (0.2, 5.0)], ids=["back-off", "hold"])
async def test_the_users_hold_is_included(timed: Lanes, clock: ManualClock, delay_s: float, hold_s: float) -> None:
    """As well as the change's own back-off."""
    settled = await timed.back(await first_claim(timed, clock), delay_s, hold_s=hold_s)

    assert settled.again_in_s == pytest.approx(max(delay_s, hold_s), abs=EXACT_S)
    assert await claimed_after_s(timed, clock, "j1") == pytest.approx(settled.again_in_s, abs=EXACT_S)


async def test_the_slot_of_a_slow_user_is_included(timed: Lanes, steering: Producer, clock: ManualClock) -> None:
    """One request in ten seconds."""
    await steering.limit_user("1", 0.1)
    settled = await timed.back(await first_claim(timed, clock), 0.2)

    assert settled.again_in_s > 9
    assert await claimed_after_s(timed, clock, "j1") == pytest.approx(settled.again_in_s, abs=EXACT_S)


async def test_the_pause_of_an_open_breaker_is_included(timed: Lanes, clock: ManualClock) -> None:
    """It is longer than the change's back-off, and nothing of the user is claimed before it ends."""
    await timed.submit(*((f"j{user}", change(user)) for user in "123"), now_ms=clock.now_ms)
    job_id, again_in_s = await open_breaker(timed, clock)

    assert again_in_s > 0.4
    assert await claimed_after_s(timed, clock, job_id) >= again_in_s - EXACT_S


async def test_the_line_of_a_requeued_attempt_tells_that_time(
    timed: Lanes, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """In its text, and in its field `again_in_ms`."""
    claim = await first_claim(timed, clock)
    settled = await timed.back(claim, 0.2, hold_s=5)

    with caplog.at_level(logging.INFO):
        log_attempt(Requeue(claim=claim, history=b"", reason="throttled"), settled, "default")

    (record,) = caplog.records
    again_in_ms = getattr(record, ATTRIBUTE)[1]["again_in_ms"]
    assert again_in_ms == pytest.approx(5000, abs=1000 * EXACT_S)
    assert record.getMessage().endswith(f"again in {again_in_ms / 1000:.3f} s")

"""The leaky bucket of a user: at most ten requests in any window, in turn, whoever claims."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Priority
from producers.queue.bucket import LOOK_AHEAD_US
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim
from worker.queue.rate import Pacing

BRISK = Pacing(
    pace_us=4_000, per_window=10, window_us=60_000, catch_up_us=2_000, egress_pace_us=1, egress_burst_us=10_000
)
"""A window short enough for a real clock, and with a guard that bites: ten of its paces are less than it."""


def most_in_a_window(slots_us: list[int], window_us: int) -> int:
    """Return the highest number of slots in any sliding window."""
    ordered = sorted(slots_us)
    return max(sum(start <= slot < start + window_us for slot in ordered) for start in ordered)


async def until_something_is_due(lanes: Lanes, clock: ManualClock) -> list[Claim]:
    """Return the next claims, made when they are due."""
    while True:
        claims = await lanes.claims()
        if claims.claims:
            return claims.claims
        assert claims.next_due_s is not None, "nothing will ever be due"
        clock.advance(claims.next_due_s + 0.001)


async def test_at_most_ten_slots_in_any_window_whoever_claims(redis: ArqRedis) -> None:
    """Four claimers, forty lanes of one user, in real time; each reply comes at its slot."""
    lanes = Lanes(redis, pacing=BRISK)
    await lanes.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(40)))
    slots: list[int] = []

    async def work() -> None:
        claimer = lanes.new_claimer()
        while len(slots) < 40:
            claims = await lanes.claims(3, claimer)
            slots.extend([await lanes.slot_us(claim) for claim in claims.claims])
            for claim in claims.claims:
                await asyncio.sleep(max(0, claim.slot_at_s - lanes.clock.monotonic()))
                await lanes.done(claim, took_s=0.0)
            await asyncio.sleep(min(claims.next_due_s or 0, 0.02))

    async with asyncio.timeout(30):
        await asyncio.gather(*(work() for _ in range(4)))

    assert len(slots) == 40
    assert len(set(slots)) == 40
    assert most_in_a_window(slots, BRISK.window_us) <= BRISK.per_window


async def test_ten_slots_take_a_window_and_no_more_than_ten_paces(timed: Lanes, clock: ManualClock) -> None:
    """One lane, answered at once: the guard holds and costs no rate."""
    await timed.submit(*((f"j{n}", change()) for n in range(40)))
    slots: list[int] = []
    for _ in range(40):
        (claim,) = await until_something_is_due(timed, clock)
        slots.append(await timed.slot_us(claim))
        clock.advance_to_us(slots[-1])
        await timed.done(claim, took_s=0.0)

    gaps = [later - earlier for earlier, later in itertools.pairwise(slots)]
    assert min(gaps) == PACING.pace_us - PACING.catch_up_us, "a bucket nobody used counts as late, by half a pace"
    tens = [later - earlier for earlier, later in zip(slots, slots[10:], strict=False)]
    assert min(tens) >= PACING.window_us
    assert max(tens) <= 10 * PACING.pace_us


async def test_a_slot_is_claimed_within_the_look_ahead_and_not_before(timed: Lanes, clock: ManualClock) -> None:
    """A worker sleeps until the slot."""
    await timed.submit(("j1", change()), ("j2", change()))
    first = await timed.claim_one()
    slot_us = await timed.slot_us(first)
    await timed.done(first, took_s=0.0)

    next_slot_us = slot_us + PACING.pace_us - PACING.catch_up_us
    clock.advance_to_us(next_slot_us - LOOK_AHEAD_US - 2_000)
    assert await timed.claim() == []
    clock.advance_to_us(next_slot_us - LOOK_AHEAD_US + 2_000)
    second = await timed.claim_one()

    assert await timed.slot_us(second) == next_slot_us
    assert second.slot_at_s - clock.monotonic() == pytest.approx((LOOK_AHEAD_US - 2_000) / 1e6, abs=1e-5)


async def test_a_late_claim_catches_up_by_at_most_half_a_pace(timed: Lanes, clock: ManualClock) -> None:
    """An idle hour saves up nothing."""
    await timed.submit(*((f"j{n}", change()) for n in range(3)))
    await timed.done(await timed.claim_one(), took_s=0.0)
    clock.advance(3600)
    late = await timed.claim_one()
    late_us = await timed.slot_us(late)
    await timed.done(late, took_s=0.0)

    (following,) = await until_something_is_due(timed, clock)

    assert await timed.slot_us(following) - late_us == PACING.pace_us - PACING.catch_up_us


async def test_lanes_of_one_user_get_turns_a_pace_apart_and_none_starves(timed: Lanes, clock: ManualClock) -> None:
    """Twenty lanes of five changes: after each round, no lane is more than one change ahead."""
    await timed.submit(*((f"t{n}/{m}", change(trader=f"t{n}")) for n in range(20) for m in range(5)))
    clock.advance(0.001)
    sent: dict[str, int] = {}
    slots = []
    for number in range(100):
        for claim in await until_something_is_due(timed, clock):
            slots.append(await timed.slot_us(claim))
            clock.advance_to_us(slots[-1])
            await timed.done(claim, took_s=0.0)
            sent[claim.lane] = sent.get(claim.lane, 0) + 1
        if (number + 1) % 20 == 0:
            assert max(sent.values()) - min(sent.values()) <= 1
            assert len(sent) == 20

    assert most_in_a_window(slots, PACING.window_us) <= 10


async def test_one_users_backlog_does_not_delay_another_user(timed: Lanes, clock: ManualClock) -> None:
    """200 waiting lanes of one user; the other user's change gets a slot at once."""
    await timed.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(200)))
    await timed.claim()
    await timed.submit(("other", change("2002")))

    other = await timed.claim_one()

    assert other.job_id == "other"
    assert other.slot_at_s == pytest.approx(clock.monotonic())


async def ten_sent(lanes: Lanes, clock: ManualClock) -> list[Claim]:
    """Send ten requests of one user's eleven lanes; none is answered."""
    await lanes.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(11)))
    sent: list[Claim] = []
    while len(sent) < 10:
        sent += await until_something_is_due(lanes, clock)
    clock.advance(max(0, sent[-1].slot_at_s - clock.monotonic()))
    return sent


async def test_a_request_in_flight_delays_the_tenth_request_after_it(timed: Lanes, clock: ManualClock) -> None:
    """Without its reply nobody knows when it arrived; until then the user costs no claim a look."""
    await ten_sent(timed, clock)

    for _ in range(10):
        claims = await timed.claims()
        assert (claims.claims, claims.next_due_s) == ([], None)
        clock.advance(0.5)
    assert await timed.redis.zcard(KEYS.schedule) == 0


@pytest.mark.parametrize("expired", [False, True])
async def test_a_reply_schedules_the_lanes_of_both_priorities_that_waited_for_it(
    timed: Lanes, clock: ManualClock, expired: bool
) -> None:
    """Also if Redis was away for so long that the bucket, which tells that they wait, has expired."""
    first, *_ = await ten_sent(timed, clock)
    await timed.submit(("bulk", change(trader="bulk")), priority=Priority.BULK)
    await timed.claims()
    assert await timed.redis.exists(KEYS.schedule, KEYS.bulk_schedule) == 0
    if expired:
        await timed.redis.delete(KEYS.bucket_of(first.lane))

    await timed.back(first)

    assert await timed.redis.exists(KEYS.schedule, KEYS.bulk_schedule) == 2


async def test_a_settled_request_frees_its_place_one_window_after_its_reply(timed: Lanes, clock: ManualClock) -> None:
    """With too few round trips measured, nothing is taken off."""
    first, *_ = await ten_sent(timed, clock)
    clock.advance(0.4)
    replied_us = clock.now_us
    await timed.done(first, took_s=0.4)

    (eleventh,) = await until_something_is_due(timed, clock)

    assert await timed.slot_us(eleventh) == pytest.approx(replied_us + PACING.window_us, abs=20_000)
    assert await timed.slot_us(eleventh) >= replied_us + PACING.window_us


async def test_an_unsent_attempt_frees_its_place_at_once(timed: Lanes, clock: ManualClock) -> None:
    """The exchange never counted it, so the eleventh need not wait a full window."""
    first, *_ = await ten_sent(timed, clock)
    await timed.back(first, 60, replied=False)

    (eleventh,) = await until_something_is_due(timed, clock)

    assert await timed.slot_us(eleventh) < clock.now_us + PACING.window_us


async def test_a_request_lost_with_its_worker_frees_its_place_a_window_after_it_can_have_arrived(
    timed: Lanes, clock: ManualClock
) -> None:
    """It may have been sent until the session ended, and may have been under way for a second."""
    await ten_sent(timed, clock)
    await timed.claimer.session.renew()
    arrived_us = clock.now_us + round((DEFAULTS.session_ttl_s + 1) * 1e6)
    await timed.lapse()
    timed.claimer = timed.new_claimer()

    (eleventh,) = await until_something_is_due(timed, clock)

    assert await timed.slot_us(eleventh) == pytest.approx(arrived_us + PACING.window_us, abs=20_000)


async def test_a_bucket_expires_a_minute_after_the_latest_of_its_times(timed: Lanes) -> None:
    """Here after a hold of ten minutes; idle users leave no key behind."""
    await timed.submit(("j1", change()))
    claim = await timed.claim_one()
    await timed.back(claim, 600, hold_s=600)

    ttl_s = await timed.redis.pttl(KEYS.bucket_of(claim.lane)) / 1000

    assert 600 < ttl_s < 700


async def test_an_unused_slot_is_given_back_to_its_user(timed: Lanes, clock: ManualClock) -> None:
    """The retry of an unsent change does not cost another pace."""
    await timed.submit(("j1", change()))
    first = await timed.claim_one()
    slot_us = await timed.slot_us(first)

    await timed.back(first, replied=False)
    clock.advance(0.001)
    second = await timed.claim_one()

    assert await timed.slot_us(second) - slot_us <= 1_000, "without the slot back it would be a pace later"

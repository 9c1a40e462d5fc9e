"""The bucket of an egress: what all workers behind one IP may send together."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from producers.contract import keyspace
from producers.queue.bucket import LOOK_AHEAD_US
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.settings import WorkerSettings

USERS = 300
THROTTLED_USERS = 5
"""So many, as breaker.lua has it."""


@pytest.fixture
async def lanes(fake_redis: ArqRedis, clock: ManualClock) -> Lanes:
    """A hundred a second for the egress, and 300 users with a change each."""
    lanes = Lanes(fake_redis, clock=clock, pacing=PACING)
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(USERS)))
    return lanes


async def slots_of_all(lanes: Lanes, clock: ManualClock) -> list[int]:
    """Return the slots of all changes, each claimed when it is due."""
    slots: list[int] = []
    while len(slots) < USERS:
        claims = await lanes.claims()
        slots += [await lanes.slot_us(claim) for claim in claims.claims]
        clock.advance((claims.next_due_s or 0) + 0.001)
    return slots


async def test_an_egress_sends_no_more_than_its_burst_and_its_rate(lanes: Lanes, clock: ManualClock) -> None:
    """In every window that begins with a slot."""
    slots = sorted(await slots_of_all(lanes, clock))

    for index, first in enumerate(slots):
        for number, slot in enumerate(slots[index:]):
            assert number <= (PACING.egress_burst_us + slot - first) / PACING.egress_pace_us + 1


async def test_an_egress_wastes_no_slot_while_lanes_are_due(lanes: Lanes, clock: ManualClock) -> None:
    """The time from first to last slot is at most one pace per change."""
    slots = sorted(await slots_of_all(lanes, clock))

    assert (slots[-1] - slots[0]) / 1e6 <= USERS * PACING.egress_pace_us / 1e6


async def test_an_exhausted_egress_leaves_lanes_due_and_reports_when_it_has_a_slot(
    lanes: Lanes, clock: ManualClock
) -> None:
    """Their users' buckets are not touched."""
    claimed = await lanes.claim()
    waiting = USERS - len(claimed)
    assert waiting > 200

    claims = await lanes.claims()

    assert claims.claims == []
    assert claims.next_due_s is not None
    assert 0 < claims.next_due_s <= PACING.egress_pace_us / 1e6
    assert await lanes.redis.zcount(keyspace.SCHEDULE, "-inf", clock.now_ms) == waiting
    clock.advance(claims.next_due_s)
    assert len(await lanes.claim()) >= 1


async def test_slots_of_an_egress_are_within_the_look_ahead(lanes: Lanes, clock: ManualClock) -> None:
    """So no claim waits in a worker for longer than that."""
    for claim in await lanes.claim():
        assert claim.slot_at_s - clock.monotonic() <= LOOK_AHEAD_US / 1e6 + 1e-6


async def test_each_egress_has_a_limit_of_its_own(lanes: Lanes, clock: ManualClock) -> None:
    """The exchange limits by IP: one egress without slots leaves another free."""
    await lanes.claim()
    assert await lanes.claim() == []
    elsewhere = Lanes(lanes.redis, clock=clock, pacing=PACING, settings=WorkerSettings(egress="elsewhere"))

    assert await elsewhere.claim() != []


async def test_many_throttled_users_at_once_hold_the_egress(lanes: Lanes, clock: ManualClock) -> None:
    """Then it is the limit of the IP, which takes five minutes to recover."""
    claims = await lanes.claim()
    for claim in claims[: THROTTLED_USERS - 1]:
        await lanes.back(claim, 1, hold_s=1)
    clock.advance(0.1)
    assert await lanes.claim() != [], "fewer users say nothing about the egress"
    await lanes.back(claims[THROTTLED_USERS], 1, hold_s=1)

    held = await lanes.claims()
    clock.advance(DEFAULTS.egress_hold_s - 1)
    assert await lanes.claim() == []
    clock.advance(1)

    assert held.claims == []
    assert held.next_due_s == pytest.approx(DEFAULTS.egress_hold_s, abs=0.1)
    assert await lanes.claim() != []


async def test_one_user_throttled_many_times_does_not_hold_the_egress(lanes: Lanes, clock: ManualClock) -> None:
    """Replies of 429 to one user are that user's limit, not the IP's."""
    first, *_ = await lanes.claim()
    for _ in range(THROTTLED_USERS * 2):
        await lanes.back(first, 1, hold_s=1)  # all but the first are fenced; each reports the 429
    clock.advance(0.1)

    assert await lanes.claim() != []


async def test_many_throttled_users_between_other_replies_do_not_hold_the_egress(
    lanes: Lanes, clock: ManualClock
) -> None:
    """A limit of the IP lets nobody through: one other reply shows that it is the users' limits."""
    claims = await lanes.claim()
    for number, claim in enumerate(claims):
        if number % THROTTLED_USERS:
            await lanes.back(claim, 1, hold_s=1)
        else:
            await lanes.done(claim, took_s=0.01)
    clock.advance(0.1)

    assert len(claims) > THROTTLED_USERS * 2
    assert await lanes.claim() != []


async def test_users_throttled_right_after_another_request_do_not_hold_the_egress(
    timed: Lanes, clock: ManualClock
) -> None:
    """Within a second of another request, a user may have met its own limit."""
    users = range(THROTTLED_USERS + 1)
    await timed.submit(*((f"{nth}-{n}", change(str(n))) for nth in ("first", "second") for n in users))
    for claim in await timed.claim():
        await timed.done(claim, took_s=0.01)
    clock.advance(0.2)
    second = await timed.claim()
    for claim in second:
        await timed.back(claim, 1, hold_s=1)
    await timed.submit(("other", change("another")))

    assert len(second) == len(users)
    assert [claim.job_id for claim in await timed.claim()] == ["other"]


async def test_the_egress_slot_of_an_unsent_change_is_given_back(lanes: Lanes) -> None:
    """Three rounds of ten unsent changes end at the same slot."""
    slots_s = []
    for _ in range(3):
        claims = await lanes.claim(10)
        slots_s.append(claims[-1].slot_at_s)
        for claim in claims:
            await lanes.back(claim, 60, replied=False)

    assert slots_s == pytest.approx([slots_s[0]] * 3, abs=0.001)


async def test_a_failure_without_a_reply_does_not_clear_throttled_users(lanes: Lanes, clock: ManualClock) -> None:
    """Only a reply shows that the exchange lets somebody through."""
    claims = await lanes.claim()
    await lanes.back(claims.pop(), 1)
    for claim in claims[:THROTTLED_USERS]:
        await lanes.back(claims.pop(), 1)
        await lanes.back(claim, 1, hold_s=1)
    clock.advance(0.1)

    assert await lanes.claim() == []

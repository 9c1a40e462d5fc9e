"""The bucket of an egress: what all workers behind one IP may send together."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers.queue.bucket import LOOK_AHEAD_US
from tests.support.changes import change
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.settings import WorkerSettings

USERS = 300


@pytest.fixture
async def lanes(timed: Lanes) -> Lanes:
    """A hundred a second for the egress, and 300 users with a change each."""
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(USERS)))
    return timed


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


async def test_an_egress_wastes_no_slot_while_users_are_due(lanes: Lanes, clock: ManualClock) -> None:
    """The time from first to last slot is at most one pace per change."""
    slots = sorted(await slots_of_all(lanes, clock))

    assert (slots[-1] - slots[0]) / 1e6 <= USERS * PACING.egress_pace_us / 1e6


async def test_an_exhausted_egress_leaves_users_due_and_reports_when_it_has_a_slot(
    lanes: Lanes, clock: ManualClock
) -> None:
    """They lose neither their place nor a slot of their buckets."""
    claimed = await lanes.claim()
    waiting = USERS - len(claimed)
    assert waiting > 200

    claims = await lanes.claims()

    assert claims.claims == []
    assert claims.next_due_s is not None
    assert 0 < claims.next_due_s <= PACING.egress_pace_us / 1e6
    assert await lanes.redis.zcount(KEYS.schedule, "-inf", clock.now_ms) == waiting
    clock.advance(claims.next_due_s)
    assert len(await lanes.claim()) >= 1


async def test_slots_of_an_egress_are_within_the_look_ahead(lanes: Lanes, clock: ManualClock) -> None:
    """So no claim waits in a worker for longer than that."""
    for claim in await lanes.claim():
        assert claim.slot_at_s - clock.monotonic() <= LOOK_AHEAD_US / 1e6 + 1e-6


async def test_each_egress_has_a_limit_of_its_own(lanes: Lanes, clock: ManualClock) -> None:
    """The exchange limits by IP: one egress without slots leaves another free."""
    elsewhere = Lanes(lanes.redis, clock=clock, pacing=PACING, settings=WorkerSettings(egress="elsewhere"))
    await elsewhere.claim(1)  # it was in use before
    await lanes.claim()
    assert await lanes.claim() == []

    assert await elsewhere.claim() != []


async def test_the_egress_slot_of_an_unsent_change_is_given_back(lanes: Lanes) -> None:
    """Three rounds of ten unsent changes end at the same slot."""
    slots_s = []
    for _ in range(3):
        claims = await lanes.claim(10)
        slots_s.append(claims[-1].slot_at_s)
        for claim in claims:
            await lanes.back(claim, 60, replied=False)

    assert slots_s == pytest.approx([slots_s[0]] * 3, abs=0.001)


async def test_at_the_limit_each_claim_takes_several_changes(lanes: Lanes, clock: ManualClock) -> None:
    """One that waits for half of the burst costs Redis a fifth of five that wait for a slot each."""
    await lanes.claim()  # the burst; the next claim comes too early, and the one after it for the first slot
    taken: list[int] = []
    for _ in range(10):
        claims = await lanes.claims()
        taken.append(len(claims.claims))
        clock.advance((claims.next_due_s or 0) + 0.001)

    assert min(taken[2:]) >= 4

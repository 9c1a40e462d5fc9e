"""Sessions of workers: renewed, lapsed, and taken back with what they hold."""

from __future__ import annotations

import asyncio

import pytest

from ops.keys import KEYS
from producers.contract import keyspace
from producers.queue.parts import BEATS_PER_TTL
from tests.support.changes import change
from tests.support.lanes import BEAT_S, DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.renewal import CHUNK_SIZE, LapsedSearch

LANE = keyspace.lane("1001", "t1")


async def lost_deliveries(lanes: Lanes) -> int:
    """Return the count of the only lane that is due."""
    return (await lanes.claim_one()).lost_deliveries


async def test_a_worker_keeps_its_lanes_as_long_as_it_renews_its_session(timed: Lanes, clock: ManualClock) -> None:
    """Four lifetimes long, and its settlement is then accepted."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    other = await timed.new_session()
    for _ in range(4 * BEATS_PER_TTL):
        clock.advance(BEAT_S)
        await timed.claimer.session.renew()
        await other.renew()

    assert timed.claimer.session.is_trusted(claim.session_id)
    assert (await timed.done(claim)).finished == 1


async def test_a_worker_that_stops_renewing_loses_its_lanes_one_lifetime_later(
    timed: Lanes, clock: ManualClock
) -> None:
    """Counted from its last renewal; another worker gets the same change at once."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    other = await timed.new_session()
    for _ in range(BEATS_PER_TTL):
        clock.advance(BEAT_S)
        await other.renew()
    kept = await timed.is_held(claim)
    clock.advance(0.001)
    await other.renew()

    assert kept
    assert not await timed.is_held(claim)
    timed.claimer = timed.new_claimer()
    assert [again.job_id for again in await timed.claim()] == ["a"]


async def test_a_lane_that_is_taken_back_goes_before_those_that_became_ready_later(timed: Lanes) -> None:
    """Its turn had come when its worker died."""
    await timed.submit(("a", change()))
    await timed.claim_one()
    await timed.submit(("b", change(trader="t2")))
    await timed.lapse()
    timed.claimer = timed.new_claimer()

    assert (await timed.claim_one()).job_id == "a"


async def test_a_redis_that_stood_still_takes_nobodys_lanes_away(timed: Lanes, clock: ManualClock) -> None:
    """Nobody could renew for an hour; whoever renews first afterwards does not declare the others dead."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    other = await timed.new_session()
    clock.advance(3600)
    await other.renew()
    await timed.claimer.session.renew()

    assert timed.claimer.session.is_trusted(claim.session_id)
    assert (await timed.done(claim)).finished == 1


async def test_a_worker_that_is_alone_keeps_its_lanes_however_late_it_renews(timed: Lanes, clock: ManualClock) -> None:
    """Nobody else can have them."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    clock.advance(3600)
    await timed.claimer.session.renew()

    assert (await timed.done(claim)).finished == 1


async def test_lanes_are_taken_back_once_by_workers_that_renew_together(timed: Lanes, clock: ManualClock) -> None:
    """One delivery was lost, not four."""
    await timed.submit(("a", change()))
    await timed.claim_one()
    others = [await timed.new_session() for _ in range(4)]
    for _ in range(BEATS_PER_TTL + 1):
        clock.advance(BEAT_S)
        await asyncio.gather(*(other.renew() for other in others))
    timed.claimer = timed.new_claimer()

    assert await lost_deliveries(timed) == 1


async def test_more_lanes_than_one_run_moves_are_taken_back_in_several_runs(served: Lanes, clock: ManualClock) -> None:
    """Each leaves Redis to others after a chunk, and the last one forgets the session."""
    many = 2 * CHUNK_SIZE + 50
    await served.submit(*((f"j{n}", change(str(n))) for n in range(many)))
    lost = await served.claim(many) + await served.claim(many)  # one claim takes some 200 at most
    held = KEYS.held + served.claimer.session.session_id
    other = await served.new_session()
    left = []
    for _ in range(BEATS_PER_TTL + 1):
        clock.advance(BEAT_S)
        await served.redis.set_time(clock.now_us)  # type: ignore[attr-defined]
        while await other.renew():
            left.append(await served.redis.hlen(held))  # type: ignore[misc]

    assert len(lost) == many
    assert left == [many - CHUNK_SIZE, many - 2 * CHUNK_SIZE]
    assert not await served.redis.hexists(KEYS.sessions, lost[0].session_id)  # type: ignore[misc]
    assert await served.uncovered() == set()
    served.claimer = served.new_claimer()
    again = await served.claim(many) + await served.claim(many)
    assert {claim.job_id for claim in again} == {claim.job_id for claim in lost}


async def test_a_session_is_dead_from_the_first_run_on_that_takes_lanes_back(served: Lanes, clock: ManualClock) -> None:
    """Although it holds the rest of them still."""
    await served.submit(*((f"j{n}", change(str(n))) for n in range(CHUNK_SIZE + 1)))
    (claim, *_) = await served.claim(CHUNK_SIZE + 1)
    other = await served.new_session()
    has_more = False
    for _ in range(BEATS_PER_TTL + 1):
        clock.advance(BEAT_S)
        await served.redis.set_time(clock.now_us)  # type: ignore[attr-defined]
        has_more = await other.renew()
    await served.claimer.session.renew()

    assert has_more
    assert served.claimer.session.session_id != claim.session_id


async def test_a_session_without_lanes_leaves_nothing_behind(timed: Lanes) -> None:
    """A lane that it has emptied does not come back."""
    await timed.submit(("a", change()))
    await timed.done(await timed.claim_one())
    await timed.lapse()

    assert not await timed.redis.exists(KEYS.schedule, KEYS.heads + "1001", KEYS.attempts + LANE)
    assert await timed.uncovered() == set()


async def test_a_late_settlement_takes_the_lost_delivery_off_again(timed: Lanes) -> None:
    """Its worker was slow, and the change did not kill it; that counts once."""
    await timed.submit(("a", change()))
    for _ in range(2):
        lost = await timed.claim_one()
        await timed.lapse()
        timed.claimer = timed.new_claimer()
    for _ in range(2):
        assert (await timed.done(lost)).fenced

    assert await lost_deliveries(timed) == 1


async def test_a_late_settlement_does_not_concern_the_lanes_next_change(timed: Lanes, clock: ManualClock) -> None:
    """That one was lost too, by a worker that is dead."""
    await timed.submit(("a", change()), ("b", change()))
    late = await timed.claim_one()
    await timed.lapse()
    timed.claimer = timed.new_claimer()
    await timed.done(await timed.claim_one())
    clock.advance(DEFAULTS.connect_timeout_s + DEFAULTS.request_timeout_s)
    await timed.claim_one()
    await timed.lapse()
    timed.claimer = timed.new_claimer()

    assert (await timed.done(late)).fenced
    assert await lost_deliveries(timed) == 1


@pytest.mark.parametrize("holds", [False, True])
async def test_a_closed_session_ends_at_once_if_it_holds_nothing(timed: Lanes, holds: bool) -> None:
    """Else its lanes are taken back when it has lapsed."""
    session = timed.claimer.session
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    if not holds:
        await timed.done(claim)

    await session.close()

    assert await timed.redis.hexists(KEYS.sessions, session.session_id) == holds  # type: ignore[misc]
    assert await timed.is_held(claim) == holds
    assert (await timed.claimer.claim(1)).claims == []


async def test_a_renewal_that_does_not_look_takes_nothing_back(
    timed: Lanes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among many workers few look; the next one that does finds what has lapsed."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    other = await timed.new_session()
    clock.advance((BEATS_PER_TTL + 1) * BEAT_S)
    with monkeypatch.context() as patched:
        patched.setattr(LapsedSearch, "is_due", lambda *_: False)
        for _ in range(BEATS_PER_TTL + 1):
            clock.advance(BEAT_S)
            await other.renew()
    kept = await timed.is_held(claim)
    await other.renew()

    assert kept
    assert not await timed.is_held(claim)


async def test_any_number_of_sessions_can_lapse_at_once(timed: Lanes, clock: ManualClock) -> None:
    """Lua's stack does not hold all of their rows at once."""
    rows = {f"gone-{number}": "0 0 1 0 0 0" for number in range(9000)}
    await timed.redis.hset(KEYS.sessions, mapping=rows)  # type: ignore[misc]  # one type for both of redis-py's clients
    other = await timed.new_session()
    for _ in range(100):
        clock.advance(BEAT_S)
        await other.renew()

    assert await timed.redis.hlen(KEYS.sessions) == 2  # type: ignore[misc]  # the clock, and the one that is renewed

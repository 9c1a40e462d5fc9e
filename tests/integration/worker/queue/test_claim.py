"""The claim script: one change in flight per lane, lost workers, tokens, and the content of a claim."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.contract import keyspace
from producers.contract.codec import MAX_PAYLOAD_BYTES, decode_change
from producers.queue.lanes import LaneScore
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock

LANE = keyspace.lane("1001", "t1")


@pytest.fixture
def timed(fake_redis: ArqRedis, clock: ManualClock) -> Lanes:
    """A queue without pacing, whose clock the test moves."""
    return Lanes(fake_redis, clock=clock)


async def lose_worker(lanes: Lanes) -> None:
    """Let the worker's session lapse; another worker goes on."""
    await lanes.lapse()
    lanes.claimer = lanes.new_claimer()


async def test_a_claim_carries_the_head_of_its_lane(lanes: Lanes) -> None:
    """Its ID and payload, and no history yet."""
    await lanes.submit(("j1", change(value="7")), ("j2", change()))

    claim = await lanes.claim_one()

    assert (claim.lane, claim.job_id, claim.history, claim.lost_deliveries) == (LANE, "j1", None, 0)
    assert claim.stored.content is not None
    assert decode_change(claim.stored.content).a[0].settings[0].trace_value == "7"


async def test_a_lane_has_one_change_in_flight(lanes: Lanes) -> None:
    """However many workers ask, the other four wait for the reply."""
    await lanes.submit(*((f"j{n}", change()) for n in range(5)))
    await lanes.claim_one()

    for _ in range(3):
        assert (await lanes.claims(claimer=lanes.new_claimer())).claims == []


async def test_competing_claimers_never_get_one_lane_twice(lanes: Lanes) -> None:
    """Eight claimers, forty lanes of forty users."""
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(40)))
    claimers = [lanes.new_claimer() for _ in range(8)]

    rounds = await asyncio.gather(*(lanes.claims(7, claimer) for claimer in claimers))

    jobs = [claim.job_id for claims in rounds for claim in claims.claims]
    assert len(jobs) == len(set(jobs))
    assert set(jobs) == {f"j{n}" for n in range(40)}


async def test_every_claim_has_a_token_of_its_own(lanes: Lanes) -> None:
    """Over calls and sessions, also for the same lane."""
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(2)))
    tokens = []
    for claimer in (lanes.claimer, lanes.claimer, lanes.new_claimer()):
        claims = (await lanes.claims(2, claimer)).claims
        tokens += [(claim.session_id, claim.token) for claim in claims]
        for claim in claims:
            await lanes.back(claim)
            await lanes.due_now(claim.lane)

    assert len(set(tokens)) == 6


async def test_a_claim_takes_no_more_lanes_than_asked_for_and_reports_that_more_are_due(lanes: Lanes) -> None:
    """It wakes another worker."""
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(5)))
    await lanes.redis.delete(KEYS.wakeups)

    claims = await lanes.claims(3)

    assert len(claims.claims) == 3
    assert claims.next_due_s == 0
    assert await lanes.redis.llen(KEYS.wakeups) == 1  # type: ignore[misc]


async def test_users_are_claimed_for_by_due_time(lanes: Lanes) -> None:
    """The user that waited longest comes first, whatever the order of submission."""
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(3)))
    now_ms = await lanes.now_ms()
    await lanes.redis.zadd(KEYS.schedule, {str(n): now_ms - 1000 * (n + 1) for n in range(3)})

    assert [claim.job_id for claim in await lanes.claim()] == ["j2", "j1", "j0"]


async def test_a_lane_is_not_claimed_before_it_is_due(lanes: Lanes) -> None:
    """The reply says how long the claimer may sleep."""
    await lanes.submit(("j1", change()))
    await lanes.back(await lanes.claim_one(), 60)

    claims = await lanes.claims()

    assert claims.claims == []
    assert claims.next_due_s is not None
    assert 50 < claims.next_due_s <= 60.001  # a score is in whole milliseconds


async def test_a_claim_on_an_empty_schedule_has_no_next_due_time(lanes: Lanes) -> None:
    """The worker then sleeps until a wake-up."""
    assert (await lanes.claims()).next_due_s is None


async def test_a_claimed_lane_is_held_by_its_session_and_leaves_the_schedule(lanes: Lanes) -> None:
    """Its user, which has no other lane, costs no claim a look until the reply is there."""
    await lanes.submit(("j1", change()), ("j2", change()))

    claim = await lanes.claim_one()

    assert await lanes.is_held(claim)
    assert await lanes.ready_ms(LANE) == LaneScore.IN_FLIGHT
    assert await lanes.due_ms(LANE) is None
    assert await lanes.uncovered() == set()


async def test_a_lane_of_a_lapsed_session_is_claimed_again_and_the_loss_is_counted(timed: Lanes) -> None:
    """By another worker."""
    await timed.submit(("j1", change()), ("j2", change()))
    sessions = set()
    for lost_deliveries in range(4):
        claim = await timed.claim_one()
        sessions.add(claim.session_id)
        assert (claim.job_id, claim.lost_deliveries) == ("j1", lost_deliveries)
        assert await timed.claim() == []
        await lose_worker(timed)

    assert len(sessions) == 4


async def test_heads_that_three_workers_lost_are_claimed_one_at_a_time(timed: Lanes) -> None:
    """So a change that kills its worker is found alone, and no other change is blamed for it."""
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(5)))
    for _ in range(3):
        assert len(await timed.claim()) == 5
        await lose_worker(timed)
    await timed.submit(("new", change("9")))

    rounds = []
    while claims := await timed.claim():
        rounds.append([claim.job_id for claim in claims])

    assert [len(one) for one in rounds] == [1] * 6
    assert sorted(job_id for one in rounds for job_id in one) == ["j0", "j1", "j2", "j3", "j4", "new"]


async def test_a_settled_attempt_resets_the_count_of_lost_workers(timed: Lanes) -> None:
    """Only workers lost in a row make a change suspect."""
    await timed.submit(("j1", change()))
    await timed.claim_one()
    await lose_worker(timed)
    await timed.back(await timed.claim_one())

    assert (await timed.claim_one()).lost_deliveries == 0


async def test_the_next_change_of_a_lane_starts_without_lost_workers_and_history(
    timed: Lanes, clock: ManualClock
) -> None:
    """Both are kept for the head of a lane, and end with it."""
    await timed.submit(("j1", change()), ("j2", change()))
    await timed.back(await timed.claim_one())
    await timed.claim_one()
    await lose_worker(timed)
    await timed.done(await timed.claim_one())
    clock.advance(DEFAULTS.connect_timeout_s + DEFAULTS.request_timeout_s)

    claim = await timed.claim_one()

    assert (claim.job_id, claim.lost_deliveries, claim.history) == ("j2", 0, None)


async def test_slots_count_from_the_reply_of_redis(
    fake_redis: ArqRedis, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a slow round trip errs to the safe side: never too early."""
    lanes = Lanes(fake_redis, clock=clock)
    await lanes.submit(("j1", change()))
    execute = fake_redis.execute_command

    async def slowly(*args: object, **options: object) -> object:
        answer = await execute(*args, **options)  # type: ignore[no-untyped-call]
        clock.advance(0.7)
        return answer

    monkeypatch.setattr(fake_redis, "execute_command", slowly)

    claim = await lanes.claim_one()

    assert clock.monotonic() >= 0.7
    assert claim.slot_at_s == pytest.approx(clock.monotonic(), abs=0.001)


async def test_a_user_without_lanes_leaves_the_schedule(lanes: Lanes) -> None:
    """The same call claims for the next user."""
    await lanes.redis.zadd(KEYS.schedule, {"9": 1})
    await lanes.submit(("j1", change()))

    assert [claim.job_id for claim in await lanes.claim()] == ["j1"]
    assert await lanes.redis.zscore(KEYS.schedule, "9") is None


async def test_a_payload_of_the_largest_size_is_claimed(lanes: Lanes) -> None:
    """MAX_PAYLOAD_BYTES is an inclusive bound."""
    await lanes.submit(("j1", change()))
    await lanes.redis.set(KEYS.job + "j1", b"x" * MAX_PAYLOAD_BYTES)

    assert (await lanes.claim_one()).stored.content == b"x" * MAX_PAYLOAD_BYTES


@pytest.mark.parametrize("flaw", ["absent", "empty", "too large"])
async def test_an_absent_empty_or_oversized_payload_is_claimed_as_none(lanes: Lanes, flaw: str) -> None:
    """The lane is claimed all the same, so that the change can end."""
    await lanes.submit(("j1", change()))
    await lanes.redis.delete(KEYS.job + "j1")
    match flaw:
        case "empty":
            await lanes.redis.set(KEYS.job + "j1", b"")
        case "too large":
            await lanes.redis.set(KEYS.job + "j1", b"x" * (MAX_PAYLOAD_BYTES + 1))

    claim = await lanes.claim_one()

    assert (claim.job_id, claim.stored.content) == ("j1", None)

"""The settle script: one outcome, or the lane put back; fenced; always covered."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Outcome, Producer
from producers.contract import attempt_history, keyspace
from producers.contract.codec import decode_result
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim

USER = "1001"
LANE = keyspace.lane(USER, "t1")


@pytest.fixture
async def lanes(redis: ArqRedis) -> Lanes:
    """A queue without pacing, of one lane with two changes."""
    lanes = Lanes(redis)
    await lanes.submit(("j1", change()), ("j2", change()))
    return lanes


async def lose_claim_to_another_worker(lanes: Lanes) -> tuple[Claim, Claim]:
    """Return a claim whose session lapsed, and that of the worker which has the lane now."""
    (lost,) = await lanes.claim(1)
    await lanes.lapse()
    lanes.claimer = lanes.new_claimer()
    (held,) = await lanes.claim(1)
    assert (held.lane, held.job_id) == (lost.lane, lost.job_id)
    return lost, held


@pytest.mark.parametrize("outcome", Outcome)
async def test_an_outcome_is_written_counted_and_announced(lanes: Lanes, outcome: Outcome) -> None:
    """The result has a TTL; the payload is deleted."""
    async with lanes.redis.pubsub() as subscription:
        await subscription.subscribe(KEYS.job_done + "j1")
        await subscription.get_message(timeout=30)

        await lanes.done(await lanes.claim_one(), outcome, message="m")

        announcement = await subscription.get_message(timeout=30)
    assert announcement is not None
    assert announcement["data"] == b"j1"
    stored = await lanes.redis.get(KEYS.result + "j1")
    assert (decode_result(stored).outcome, decode_result(stored).message) == (outcome, "m")
    assert await lanes.redis.pttl(KEYS.result + "j1") == pytest.approx(DEFAULTS.result_ttl_s * 1000, abs=10_000)
    assert await lanes.redis.hgetall(KEYS.counts) == {outcome.encode(): b"1"}  # type: ignore[misc]
    assert not await lanes.redis.exists(KEYS.job + "j1")


async def test_when_a_change_ends_the_next_one_is_due_at_once(lanes: Lanes) -> None:
    """Nothing of the ended change's history is left for it."""
    await lanes.back(await lanes.claim_one())
    claim = await lanes.claim_one()
    settled = await lanes.done(claim)

    assert settled.next_due_s == 0
    assert await lanes.queued(LANE) == ["j2"]
    assert not await lanes.redis.exists(KEYS.attempts + LANE)
    assert not await lanes.is_held(claim)
    assert (await lanes.claim_one()).job_id == "j2"


async def test_the_last_change_leaves_no_key_of_its_lane(lanes: Lanes) -> None:
    """Neither of the lane nor of its user, so users who come once cost no memory."""
    await lanes.back(await lanes.claim_one())
    await lanes.done(await lanes.claim_one())

    settled = await lanes.done(await lanes.claim_one())

    assert settled.next_due_s is None
    of_user = (KEYS.heads + USER, KEYS.lanes + USER, KEYS.bulk_lanes + USER)
    of_all = (KEYS.schedule, KEYS.held + lanes.claimer.session.session_id)
    assert await lanes.redis.exists(KEYS.rest + LANE, KEYS.attempts + LANE, *of_user, *of_all) == 0


async def test_a_change_that_is_put_back_stays_the_head_with_its_history(lanes: Lanes) -> None:
    """No result is written or counted; the next claim knows of three tries."""
    settled = await lanes.back(await lanes.claim_one(), 60, tries=3)

    assert settled.next_due_s == pytest.approx(60, abs=0.01)
    assert await lanes.queued(LANE) == ["j1", "j2"]
    assert not await lanes.redis.exists(KEYS.result + "j1", KEYS.counts)
    due_ms = await lanes.due_ms(LANE)
    assert due_ms is not None
    assert due_ms - await lanes.now_ms() == pytest.approx(60_000, abs=5_000)
    await lanes.due_now(LANE)
    again = await lanes.claim_one()
    assert (again.job_id, attempt_history.decode(again.history).tries) == ("j1", 3)


@pytest.mark.parametrize("verb", ["done", "back"])
async def test_a_settlement_of_a_lapsed_session_does_not_touch_the_lane(timed: Lanes, verb: str) -> None:
    """Another worker has claimed it meanwhile."""
    await timed.submit(("j1", change()), ("j2", change()))
    lost, held = await lose_claim_to_another_worker(timed)

    async def lane() -> list[object]:
        heads = await timed.redis.hgetall(KEYS.heads + USER)  # type: ignore[misc]
        return [heads, await timed.queued(LANE), await timed.ready_ms(LANE), await timed.is_held(held)]

    before = await lane()
    settled = await (timed.done(lost) if verb == "done" else timed.back(lost, 60))

    assert (settled.fenced, settled.finished) == (True, 0)
    assert await lane() == before
    assert await timed.redis.exists(KEYS.job + "j1")
    assert not await timed.redis.exists(KEYS.result + "j1", KEYS.counts)
    assert (await timed.done(held)).finished == 1


async def test_settling_twice_ends_a_change_once(lanes: Lanes) -> None:
    """A repeated call must not touch the next change."""
    claim = await lanes.claim_one()
    await lanes.done(claim)

    assert (await lanes.done(claim, Outcome.REJECTED)).fenced
    assert decode_result(await lanes.redis.get(KEYS.result + "j1")).outcome is Outcome.APPLIED
    assert await lanes.queued(LANE) == ["j2"]


async def test_a_lane_that_was_put_back_refuses_its_old_token(lanes: Lanes) -> None:
    """Even while no worker holds it."""
    claim = await lanes.claim_one()
    await lanes.back(claim, 60)

    assert (await lanes.done(claim)).fenced


async def test_a_fenced_settlement_still_records_its_request_in_the_bucket(
    timed: Lanes, clock: ManualClock, steering: Producer
) -> None:
    """The exchange counted the request, and said to wait."""
    await timed.submit(("j1", change()))
    lost, _ = await lose_claim_to_another_worker(timed)
    await timed.submit(("other", change(trader="t2")))

    assert (await timed.back(lost, 5, hold_s=5)).fenced

    assert (await steering.user_status(USER)).hold_s == pytest.approx(5)
    clock.advance(1)
    assert await timed.claim() == []


async def test_every_settlement_leaves_its_lane_covered(lanes: Lanes) -> None:
    """Ended, put back and fenced, to the last change."""
    for verb in ("back", "done", "back", "done"):
        claim = await lanes.claim_one()
        await (lanes.done(claim) if verb == "done" else lanes.back(claim))
        assert await lanes.uncovered() == set()
        assert (await lanes.done(claim)).fenced
        assert await lanes.uncovered() == set()


async def test_settlements_in_one_round_trip_each_get_their_own_reply(redis: ArqRedis) -> None:
    """A fenced one does not disturb the others."""
    lanes = Lanes(redis)
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(200)))
    claims = await lanes.claim() + await lanes.claim()
    await lanes.done(claims[7])

    settled = await asyncio.gather(*(lanes.done(claim) for claim in claims))

    assert [index for index, each in enumerate(settled) if each.fenced] == [7]
    assert await lanes.redis.hgetall(KEYS.counts) == {b"applied": b"200"}  # type: ignore[misc]


async def test_a_settlement_loads_its_script_again_after_a_restart(lanes: Lanes) -> None:
    """A restarted Redis has no scripts; the settlement is counted once."""
    claim = await lanes.claim_one()
    await lanes.redis.script_flush()

    assert not (await lanes.done(claim)).fenced
    assert await lanes.redis.hgetall(KEYS.counts) == {b"applied": b"1"}  # type: ignore[misc]

"""A Redis that lost its last writes, in a crash or a failover: workers go on under the sessions that it still has."""

from __future__ import annotations

from arq.connections import ArqRedis

from producers import Outcome, Producer
from tests.support.changes import change
from tests.support.lanes import Lanes
from worker.queue.claims import Claim

Snapshot = dict[bytes, bytes]


async def take_snapshot(redis: ArqRedis) -> Snapshot:
    return {key: await redis.dump(key) for key in await redis.keys("*")}


async def go_back_to(redis: ArqRedis, snapshot: Snapshot) -> None:
    await redis.flushall()
    for key, value in snapshot.items():
        await redis.restore(key, 0, value)


async def claim_and_settle(lanes: Lanes) -> tuple[Claim, Snapshot]:
    """Settle a change, and return its claim and what Redis had before the settlement."""
    claim = await lanes.claim_one()
    before = await take_snapshot(lanes.redis)  # type: ignore[arg-type]  # arq's client
    await lanes.done(claim, took_s=0.01)
    lanes.claimer.session.settled(claim)
    return claim, before


async def test_a_lane_whose_settlement_was_lost_is_attempted_again(valkey: ArqRedis) -> None:
    """The session that holds it lives on, and its worker does not know of the lane any more."""
    lanes = Lanes(valkey)
    await lanes.submit(("j1", change()), ("j2", change()))
    first, before = await claim_and_settle(lanes)
    await go_back_to(valkey, before)
    assert await lanes.is_held(first)

    again = await lanes.claim_one()

    assert (again.job_id, again.lost_deliveries) == ("j1", 0)
    await lanes.done(again)
    assert (await Producer(valkey).job("j1").result(timeout=0)).outcome is Outcome.APPLIED
    assert await lanes.claim() == [], "the next change waits until the request of unknown fate can no longer be applied"
    assert await lanes.queued(first.lane) == ["j2"]


async def test_what_is_under_way_stays_in_flight_although_other_settlements_were_lost(valkey: ArqRedis) -> None:
    """Only lanes of claims that are settled as a whole are put back."""
    lanes = Lanes(valkey)
    await lanes.submit(("a", change("1")))
    first, before = await claim_and_settle(lanes)
    await go_back_to(valkey, before)
    await lanes.submit(("b", change("2")))
    await lanes.claimer.session.renew()

    claims = {claim.job_id: claim for claim in await lanes.claim()}

    assert first.job_id in claims
    assert "b" in claims
    for _ in range(3):
        await lanes.claimer.session.renew()
    assert all([await lanes.is_held(claim) for claim in claims.values()])

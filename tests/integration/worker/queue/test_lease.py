"""Leases of attempts: renewed while held, and reported when lost."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.keys import KEYS
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.lease import BATCH_SIZE, Heartbeat

LEASE_S = DEFAULTS.lease_s


@pytest.fixture
def heartbeat(timed: Lanes) -> Heartbeat:
    """The heartbeat of a worker that claims these lanes."""
    return Heartbeat(timed.redis, timed.clock, lease_s=LEASE_S)


async def test_a_worker_keeps_its_lane_as_long_as_it_renews_the_lease(
    timed: Lanes, clock: ManualClock, heartbeat: Heartbeat
) -> None:
    """Four lease lengths long, and its settlement is then accepted."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    heartbeat.hold(claim)
    for _ in range(12):
        clock.advance(LEASE_S / 3)
        await heartbeat.beat()
        assert await timed.claim() == []

    assert heartbeat.lease_until_s(claim) == pytest.approx(clock.monotonic() + LEASE_S)
    assert (await timed.done(claim)).finished == 1


async def test_a_worker_that_stops_renewing_loses_its_lane_one_lease_later(
    timed: Lanes, clock: ManualClock, heartbeat: Heartbeat
) -> None:
    """Counted from the last renewal; another worker gets the same change."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    heartbeat.hold(claim)
    clock.advance(LEASE_S / 3)
    await heartbeat.beat()
    clock.advance(LEASE_S - 0.1)
    assert await timed.claim() == []
    clock.advance(0.1)

    assert [other.job_id for other in await timed.claim()] == ["a"]


async def test_a_lapsed_lease_that_another_worker_holds_is_not_renewed(
    timed: Lanes, clock: ManualClock, heartbeat: Heartbeat
) -> None:
    """The renewal reports it, and the settlement is fenced."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    heartbeat.hold(claim)
    clock.advance(LEASE_S + 1)
    other = await timed.claim_one()
    due_ms = await timed.due_ms(other.lane)
    clock.advance(1)
    await heartbeat.beat()

    assert heartbeat.lease_until_s(claim) < clock.monotonic()
    assert await timed.due_ms(other.lane) == due_ms
    assert (await timed.done(claim)).fenced
    assert (await timed.done(other)).finished == 1


async def test_a_failed_renewal_does_not_prolong_a_lease(timed: Lanes, clock: ManualClock) -> None:
    """The worker must stop in time when Redis may already have given the lane away."""

    class Away:
        connection_pool = timed.redis.connection_pool

        async def execute_command(self, *_: object) -> None:
            raise RedisConnectionError("away")

    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    heartbeat = Heartbeat(Away(), clock, lease_s=LEASE_S)  # type: ignore[arg-type]
    heartbeat.hold(claim)
    clock.advance(LEASE_S / 2)
    with pytest.raises(RedisConnectionError):
        await heartbeat.beat()

    assert heartbeat.lease_until_s(claim) == claim.lease_until_s


async def test_a_renewal_does_not_bring_back_an_empty_lane(
    timed: Lanes, clock: ManualClock, heartbeat: Heartbeat
) -> None:
    """The worker renews a lane that it has just emptied."""
    await timed.submit(("a", change()))
    claim = await timed.claim_one()
    heartbeat.hold(claim)
    await timed.done(claim)
    clock.advance(LEASE_S / 2)
    await heartbeat.beat()

    assert await timed.redis.exists(KEYS.schedule, KEYS.head + claim.lane) == 0
    assert not await timed.uncovered()


async def test_thousands_of_leases_are_renewed_in_several_round_trips(lanes: Lanes, redis: ArqRedis) -> None:
    """A hundred more than one batch of renewals, and none is left out."""
    many = BATCH_SIZE + 100
    await lanes.submit(*((f"j{n}", change(str(n))) for n in range(many)))
    heartbeat = Heartbeat(redis, lanes.clock, lease_s=0.001)
    claims = [claim for _ in range(10) for claim in await lanes.claim(100)]
    for claim in claims:
        heartbeat.hold(claim)
        heartbeat._until_s[claim.token] = 0.0
    await heartbeat.beat()

    assert len(claims) == many
    assert all(heartbeat.lease_until_s(claim) > 0 for claim in claims)

"""What an open breaker probes: a user that is not affected, behind any number of users that are."""

from __future__ import annotations

from itertools import count

import pytest

from ops.keys import KEYS
from producers import Priority
from producers.queue.breaker import BreakerEvent
from producers.queue.bucket import LOOK_AHEAD_US
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim, EgressHealth

PAGE_SIZE = 500
"""Users that one claim reads, as probes.lua has it."""
PROMISED_S = 2.0
SICK = ("sick0", "sick1", "sick2")
SCHEDULES = {Priority.INTERACTIVE: KEYS.schedule, Priority.BULK: KEYS.bulk_schedule}


@pytest.fixture
async def sick(timed: Lanes, clock: ManualClock) -> Lanes:
    """Three users that have failed until the breaker opened."""
    changes = ((f"{user}-{n}", change(user, f"t{n}")) for user in SICK for n in range(3))
    await timed.submit(*changes, now_ms=clock.now_ms)
    for _ in range(50):
        for claim in await timed.claim():
            if (await timed.attempt(claim, "transient")).breaker is BreakerEvent.OPENED:
                return timed
        clock.advance(0.2)
    raise AssertionError("it does not open")


async def add_affected_users(lanes: Lanes, many: int, priority: Priority = Priority.INTERACTIVE) -> None:
    """Add users that fail too and have been due for ten seconds."""
    due_ms = round(await lanes.now_ms()) - 10_000
    users = [f"more{n}" for n in range(many)]
    changes = ((user, change(user)) for user in users)
    await lanes.submit(*changes, priority=priority, now_ms=round(await lanes.now_ms()))
    await lanes.redis.zadd(SCHEDULES[priority], dict.fromkeys(users, due_ms))
    await lanes.redis.hset(KEYS.failures + "default", mapping={f"failing {user}": 1 for user in users})  # type: ignore[misc]


async def find_probe(lanes: Lanes, clock: ManualClock) -> tuple[Claim, float, int]:
    """Claim as a worker does; return the probe, how many seconds passed, and the number of calls."""
    began_s = clock.monotonic()
    for calls in count(1):
        claims = await lanes.claims()
        if claims.claims:
            (probe,) = claims.claims
            assert probe.egress_health is EgressHealth.PROBING
            return probe, clock.monotonic() - began_s, calls
        assert calls < 20, "nothing is claimed"
        assert claims.next_due_s is not None
        clock.advance(claims.next_due_s + 0.001)
    raise AssertionError


async def latest_due_in_s(lanes: Lanes, priority: Priority) -> float:
    """Return when the last of the added users is due."""
    scored = await lanes.redis.zrange(SCHEDULES[priority], 0, -1, withscores=True)
    latest_ms: float = max(score for user, score in scored if b"more" in user)
    return (latest_ms - await lanes.now_ms()) / 1000


@pytest.mark.parametrize("priority", Priority)
async def test_a_user_behind_thousands_of_affected_users_is_probed_within_two_seconds(
    sick: Lanes, clock: ManualClock, priority: Priority
) -> None:
    """The users in its way are put off page by page; when the breaker has closed, they are due soon."""
    await add_affected_users(sick, 3 * PAGE_SIZE, priority)
    await sick.submit(("healthy", change("healthy")), priority=priority, now_ms=clock.now_ms)

    probe, waited_s, calls = await find_probe(sick, clock)
    settled = await sick.attempt(probe)

    assert probe.job_id == "healthy"
    assert waited_s <= PROMISED_S
    assert calls <= 5
    assert settled.breaker is BreakerEvent.CLOSED
    assert await latest_due_in_s(sick, priority) <= PROMISED_S


@pytest.mark.parametrize(("pause_s", "put_off_s"), [(9.0, PROMISED_S), (1.0, 1.0 - LOOK_AHEAD_US / 1e6)])
async def test_an_affected_user_is_put_off_until_the_pause_of_affected_users_ends_or_for_two_seconds(
    sick: Lanes, clock: ManualClock, pause_s: float, put_off_s: float
) -> None:
    """So it is due soon after the breaker closes, and not looked at again before it may be probed."""
    await add_affected_users(sick, 10)
    clock.advance(PROMISED_S)
    ends_us = clock.now_us + round(pause_s * 1e6)
    await sick.redis.hset(KEYS.egress + "default", "probe_at", str(ends_us))  # type: ignore[misc]
    assert (await sick.claims()).claims == []

    scored = await sick.redis.zrange(KEYS.schedule, 0, -1, withscores=True)
    put_off = [score for user, score in scored if b"more" in user]
    assert [score - clock.now_ms for score in put_off] == [put_off_s * 1000] * 10


@pytest.mark.parametrize("many", [1, PAGE_SIZE - len(SICK), PAGE_SIZE, 2 * PAGE_SIZE - len(SICK), 2 * PAGE_SIZE])
async def test_affected_users_are_probed_if_nobody_else_is_due(sick: Lanes, clock: ManualClock, many: int) -> None:
    """After their own pause, however many there are."""
    await add_affected_users(sick, many)
    await sick.redis.zadd(KEYS.schedule, dict.fromkeys(SICK, 1))

    probe, waited_s, _ = await find_probe(sick, clock)

    assert probe.lane.startswith(("sick", "more"))
    assert waited_s <= 1 + PROMISED_S


async def test_a_malformed_user_does_not_delay_the_probe(sick: Lanes, clock: ManualClock) -> None:
    """The probe is claimed by the same call; if there is none, the next user's time counts."""
    clock.advance(PROMISED_S)
    await sick.redis.zadd(KEYS.schedule, {b"no user": 1})
    await sick.submit(("healthy", change("healthy")), now_ms=clock.now_ms)
    beside = await sick.claims()
    await sick.attempt(beside.claims[0], "transient")
    clock.advance(PROMISED_S)
    for key in (KEYS.schedule, KEYS.bulk_schedule):
        await sick.redis.delete(key)
    await sick.redis.zadd(KEYS.schedule, {"no user": 1, "later": clock.now_ms + 500})
    alone = await sick.claims()

    assert [claim.job_id for claim in beside.claims] == ["healthy"]
    assert len(beside.malformed) == len(alone.malformed) == 1
    assert alone.next_due_s == pytest.approx(0.5, abs=0.01)


async def throttle_five(lanes: Lanes) -> None:
    """Make the egress blamed for the 429s of five users."""
    for claim in await lanes.claim(5):
        await lanes.attempt(claim, "throttled")


@pytest.mark.parametrize(("ago_s", "is_first"), [(30, True), (61, False)])
async def test_a_user_with_a_good_reply_in_the_last_minute_is_probed_before_others_that_wait_longer(
    timed: Lanes, clock: ManualClock, ago_s: float, *, is_first: bool
) -> None:
    """Those may have used up their own limits, too: one after the other would make the pause longer."""
    await timed.submit(("good", change("good")), now_ms=clock.now_ms)
    await timed.attempt(await timed.claim_one())
    clock.advance(ago_s)
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(40)), now_ms=clock.now_ms)
    await throttle_five(timed)
    await timed.submit(("again", change("good")), now_ms=clock.now_ms)

    probe, waited_s, _ = await find_probe(timed, clock)
    closed = await timed.attempt(probe)

    assert (probe.lane.partition(":")[0] == "good") == is_first
    assert waited_s == pytest.approx(1, abs=0.05)
    assert closed.breaker is BreakerEvent.CLOSED

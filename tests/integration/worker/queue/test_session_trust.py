"""What a worker knows of its session: how long it trusts it, when it is dead, and which claims were lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from ops.keys import KEYS
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, UNHINDERED, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.session import TRUSTED_SHARE, Session
from worker.settings import WorkerSettings

TRUSTED_S = TRUSTED_SHARE * DEFAULTS.session_ttl_s


async def away(*_: Any, **__: Any) -> None:
    """Stand in for `execute_command` while Redis is away."""
    raise RedisConnectionError("away")


async def test_trust_ends_after_nine_tenths_of_the_lifetime_counted_from_asking(
    timed: Lanes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reply does not prolong it; others take the lanes back later."""
    session = timed.claimer.session
    execute = timed.redis.execute_command

    async def slowly(*command: Any, **options: Any) -> Any:
        reply = await execute(*command, **options)  # type: ignore[no-untyped-call]
        clock.advance(0.7)
        return reply

    monkeypatch.setattr(timed.redis, "execute_command", slowly)
    asked_at_s = clock.uptime()
    await session.renew()

    assert session.trusted_until_s(session.session_id) == pytest.approx(asked_at_s + TRUSTED_S)
    clock.advance(TRUSTED_S - 0.7 - 0.001)
    assert session.is_trusted(session.session_id)
    assert not session.is_trusted("another session")
    clock.advance(0.001)
    assert not session.is_trusted(session.session_id)


async def test_a_renewal_that_failed_does_not_prolong_the_trust(
    timed: Lanes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker must stop in time when Redis may already have given its lanes away."""
    session = timed.claimer.session
    before_s = session.trusted_until_s(session.session_id)
    clock.advance(0.5)
    monkeypatch.setattr(timed.redis, "execute_command", away)
    with pytest.raises(RedisConnectionError):
        await session.renew()

    assert session.trusted_until_s(session.session_id) == before_s


async def test_a_worker_whose_renewals_fail_is_told_when_its_trust_ends(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It aborts what is under way before another worker takes the lanes."""
    lost = asyncio.Event()
    settings = WorkerSettings(session_ttl_s=0.5)
    session = Session(lanes.redis, lanes.clock, settings, UNHINDERED)
    session.on_lost = lost.set
    running = asyncio.create_task(session.run())

    async with asyncio.timeout(30):
        await session.wait_until_trusted()
        lost.clear()
        with monkeypatch.context() as patch:
            patch.setattr(lanes.redis, "execute_command", away)
            await lost.wait()
            trusted = session.is_trusted(session.session_id)
        await session.wait_until_trusted()
    running.cancel()

    assert not trusted


async def test_a_dead_session_claims_nothing_and_no_longer_trusts_itself(timed: Lanes) -> None:
    """Although its worker has not tried to renew it yet."""
    session = timed.claimer.session
    await session.renew()
    await timed.submit(("a", change()))
    await timed.redis.hdel(KEYS.sessions, session.session_id)  # type: ignore[misc]
    trusted = session.is_trusted(session.session_id)

    assert (await timed.claimer.claim(1)).claims == []
    assert trusted
    assert not session.is_trusted(session.session_id)


async def test_a_refused_renewal_begins_a_new_session(timed: Lanes) -> None:
    """The worker is told, so that it aborts what is under way, and goes on under another ID."""
    session = timed.claimer.session
    losses = []
    session.on_lost = lambda: losses.append(session.is_trusted(before))
    before = session.session_id
    await timed.submit(("a", change()))
    await timed.claim_one()
    await timed.lapse()

    renews_again = await session.renew()

    assert renews_again
    assert losses == [False]
    assert session.session_id != before
    again = await timed.claim_one()
    assert (again.session_id, again.lost_deliveries) == (session.session_id, 1)


async def test_what_an_abandoned_session_holds_is_due_when_it_lapses(timed: Lanes) -> None:
    """Its worker goes on under another ID, and is told, so that it aborts what is under way."""
    session = timed.claimer.session
    lost = asyncio.Event()
    session.on_lost = lost.set
    await timed.submit(("a", change()))
    first = await timed.claim_one()

    session.abandon(first.session_id)
    session.abandon("another")
    assert lost.is_set()
    assert session.session_id != first.session_id
    await timed.lapse()

    again = await timed.claim_one()
    assert (again.job_id, again.lost_deliveries) == (first.job_id, 1)
    assert again.session_id == session.session_id


async def test_claims_whose_replies_never_came_are_given_back_with_their_slots(
    timed: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next renewal, and not as lost deliveries: nothing was sent."""
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(5)))
    execute = timed.redis.execute_command

    async def lose_reply(*command: Any, **options: Any) -> None:
        await execute(*command, **options)  # type: ignore[no-untyped-call]
        raise RedisConnectionError("away")

    for _ in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(timed.redis, "execute_command", lose_reply)
            with pytest.raises(RedisConnectionError):
                await timed.claimer.claim(100)
        assert await timed.redis.hlen(KEYS.held + timed.claimer.session.session_id) == 5  # type: ignore[misc]
        await timed.claimer.session.renew()

    again = await timed.claim()

    assert [claim.lost_deliveries for claim in again] == [0] * 5
    assert max(claim.slot_at_s for claim in again) - timed.clock.monotonic() < 0.001


async def test_a_claim_that_was_given_up_as_lost_is_refused_when_it_arrives_late(
    timed: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its lanes would be in flight, and nobody would know of it."""
    late: list[tuple[Any, ...]] = []

    async def lose_request(*command: Any, **_: Any) -> None:
        late.append(command)
        await away()

    with monkeypatch.context() as patch:
        patch.setattr(timed.redis, "execute_command", lose_request)
        with pytest.raises(RedisConnectionError):
            await timed.claimer.claim(100)
    await timed.submit(("a", change()))
    await timed.claimer.session.renew()
    await timed.redis.execute_command(*late[0])  # type: ignore[no-untyped-call]

    assert not await timed.redis.exists(KEYS.held + timed.claimer.session.session_id)
    assert [claim.job_id for claim in await timed.claim()] == ["a"]

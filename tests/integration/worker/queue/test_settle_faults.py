"""Settlements that Redis refuses, or that cannot be written: none is lost, and none delays the others."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from ops.keys import KEYS
from producers.logs import ATTRIBUTE
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from worker.logs import Event
from worker.queue.claims import Settled
from worker.queue.settle import SETTLE, Settler

Task = asyncio.Task[Settled]


class Pauses:
    """The settler's pauses, which end at once but for the last: that one ends when the test says so."""

    def __init__(self, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, *, most: int) -> None:
        self._clock = clock
        self._left = most
        self._reached, self._ended = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(clock, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self._left -= 1
        if self._left == 0:
            self._reached.set()
            await self._ended.wait()

    async def wait(self) -> None:
        """Wait for the last pause."""
        async with asyncio.timeout(30):
            await self._reached.wait()

    def end(self) -> None:
        """End the last pause."""
        self._ended.set()


async def settle_together(lanes: Lanes, *user_ids: str) -> list[Task]:
    """Begin to settle one change of each user, in one run of the script."""
    await lanes.submit(*((f"j{user_id}", change(user_id)) for user_id in user_ids))
    claims = await lanes.claim()
    return [asyncio.create_task(lanes.done(claim)) for claim in claims]


async def finished(tasks: list[Task]) -> list[int]:
    async with asyncio.timeout(30):
        return [settled.finished for settled in await asyncio.gather(*tasks)]


@pytest.mark.parametrize("error", [NoPermissionError("no permission"), ValueError("a reply of another program")])
async def test_settlements_of_a_run_that_fails_are_written_later(
    timed: Lanes, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whether Redis refused the run, or its reply could not be read."""
    tasks = await settle_together(timed, "1", "2", "3")
    run, failures = SETTLE.run, [error, error]

    async def fail_at_first(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await run(*args)

    monkeypatch.setattr(SETTLE, "run", fail_at_first)

    assert await finished(tasks) == [1, 1, 1]
    assert await timed.uncovered() == set()


async def test_a_settlement_that_redis_refuses_does_not_hold_up_the_others(
    timed: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refusal each is sent alone."""
    refused, *others = await settle_together(timed, "1", "2", "3")
    run = Settler._run

    async def refuse_the_first(self: Settler, waiting: list[Any]) -> Any:
        if any(each.encoded.settlement.claim.lane.startswith("1:") for each in waiting):
            raise NoPermissionError("no permission")
        return await run(self, waiting)

    with monkeypatch.context() as patch:
        patch.setattr(Settler, "_run", refuse_the_first)
        assert await finished(others) == [1, 1]
        assert not refused.done()

    assert await finished([refused]) == [1]


async def test_a_settlement_that_cannot_be_written_waits_apart_and_is_logged_once(
    timed: Lanes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lane has a key of a wrong type. It is written once that is removed, and the batch's counts are right."""
    pauses = Pauses(clock, monkeypatch, most=3)
    await timed.redis.hset(KEYS.batch + "b", "created_at", "1")  # type: ignore[misc]
    await timed.submit(("b..1", change("1")), ("sound", change("2")), batch_id="b")
    claims = {claim.job_id: claim for claim in await timed.claim()}
    spoilt = KEYS.heads + "1"
    await timed.redis.rename(spoilt, "aside")
    await timed.redis.set(spoilt, "oops")
    tasks = [asyncio.create_task(timed.done(claims[job_id])) for job_id in ("b..1", "sound")]
    caplog.set_level(logging.ERROR)

    assert await finished(tasks[1:]) == [1]
    await pauses.wait()
    await timed.redis.delete(spoilt)
    await timed.redis.rename("aside", spoilt)
    pauses.end()

    assert await finished(tasks[:1]) == [1]
    assert [getattr(record, ATTRIBUTE)[0] for record in caplog.records] == [Event.MALFORMED]
    assert await timed.redis.hget(KEYS.batch + "b", "in_flight") == b"0"  # type: ignore[misc]
    assert await timed.uncovered() == set()


@pytest.mark.parametrize("spoilt", [KEYS.lanes + "1", KEYS.heads + "1"])
async def test_a_settlement_that_fails_counts_and_announces_nothing(
    timed: Lanes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    """However often it is tried: each change ends once."""
    pauses = Pauses(clock, monkeypatch, most=4)
    await timed.redis.hset(KEYS.batch + "b", "created_at", "1")  # type: ignore[misc]
    await timed.submit(("b..1", change("1")), batch_id="b")
    claim = await timed.claim_one()
    await timed.redis.rename(spoilt, "aside")
    await timed.redis.set(spoilt, "oops")
    settling = asyncio.create_task(timed.done(claim))
    await pauses.wait()
    before = await timed.redis.hgetall(KEYS.counts)  # type: ignore[misc]
    await timed.redis.delete(spoilt)
    await timed.redis.rename("aside", spoilt)
    pauses.end()

    assert await finished([settling]) == [1]
    assert before == {}
    assert await timed.redis.hgetall(KEYS.counts) == {b"applied": b"1"}  # type: ignore[misc]
    assert await timed.redis.hget(KEYS.batch + "b", "finished") == b"1"  # type: ignore[misc]
    assert await timed.redis.xlen(KEYS.batch_results + "b") == 1


async def test_a_group_whose_attempts_have_a_wrong_type_is_not_left_in_flight(timed: Lanes) -> None:
    """The claim fails before it takes a slot."""
    await timed.submit(("j1", change()), ("j2", change()), coalesce=True)
    attempts = KEYS.attempts + "1001:t1"
    await timed.redis.set(attempts, "oops")
    claims = await timed.claims()
    await timed.redis.delete(attempts)

    assert claims.claims == []
    assert [entry.postponed for entry in claims.malformed] == [True]
    assert await timed.uncovered() == set()


async def test_attempts_of_a_wrong_type_lose_no_change_behind_the_head(
    timed: Lanes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script fails before it ends the head, and not after."""
    pauses = Pauses(clock, monkeypatch, most=1)
    await timed.submit(("j1", change()), ("j2", change()), ("j3", change()))
    await timed.back(await timed.claim_one())
    clock.advance(0.3)
    claim = await timed.claim_one()
    attempts = KEYS.attempts + claim.lane
    await timed.redis.delete(attempts)
    await timed.redis.set(attempts, "oops")
    settling = asyncio.create_task(timed.done(claim))
    await pauses.wait()
    queued = await timed.queued(claim.lane)
    await timed.redis.delete(attempts)
    pauses.end()

    assert queued == ["j1", "j2", "j3"]
    assert await finished([settling]) == [1]
    assert await timed.queued(claim.lane) == ["j2", "j3"]


@pytest.mark.parametrize("denied", ["hset", "zadd", "lpop"])
async def test_a_right_that_is_taken_away_for_a_while_loses_no_change(served: Lanes, denied: str) -> None:
    """Whether the worker claims or settles meanwhile."""
    await served.submit(("j1", change()), ("j2", change()), ("j3", change()))
    claim = await served.claim_one()
    settling = asyncio.create_task(served.done(claim))
    await served.redis.execute_command("ACL", "SETUSER", "default", f"-{denied}")  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait([settling], timeout=0.5)
    finally:
        await served.redis.execute_command("ACL", "SETUSER", "default", "+@all")  # type: ignore[no-untyped-call]
    await finished([settling])
    ended = [claim.job_id]
    for _ in range(2):
        claim = await served.claim_one()
        ended.append(claim.job_id)
        await served.done(claim)

    assert ended == ["j1", "j2", "j3"]
    assert await served.redis.hgetall(KEYS.counts) == {b"applied": b"3"}  # type: ignore[misc]
    assert await served.uncovered() == set()


async def test_a_settlement_whose_reply_was_lost_says_that_it_was_repeated(
    timed: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script ran; what the repetition finds is its own work."""
    await timed.submit(("j1", change("1")))
    (claim,) = await timed.claim()
    run, calls = SETTLE.run, []

    async def lose_first_reply(*args: Any) -> Any:
        calls.append(await run(*args))
        if len(calls) == 1:
            raise RedisConnectionError("lost")
        return calls[-1]

    monkeypatch.setattr(SETTLE, "run", lose_first_reply)
    settled = await timed.done(claim)

    assert (settled.fenced, settled.is_repeated, len(calls)) == (True, True, 2)
    assert await timed.redis.exists(KEYS.result + "j1")

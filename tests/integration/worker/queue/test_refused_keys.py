"""A user whose keys the exchange rejected: changes end unsent until the keys change or an operator resumes."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers import Outcome, Producer
from producers.contract.messages import Attempt
from tests.support.changes import change
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock
from worker.attempt.decide import blocked_by_rejected_keys, decide, validate_claim
from worker.queue.claims import Claim, Finish, SentRequest, Settled

OLD, NEW = "0123456789abcdef", "fedcba9876543210"


async def attempt(lanes: Lanes, claim: Claim, verdict: str, fingerprint: str) -> Settled:
    """Attempt a claim as a worker with these keys does."""
    now_s = lanes.clock.monotonic()
    now_ms = claim.redis_ms(now_s)
    ready = validate_claim(claim, now_ms)
    assert not isinstance(ready, Finish)
    unsent = blocked_by_rejected_keys(ready, fingerprint, now_ms)
    if unsent is not None:
        return await lanes.settler.settle(unsent)
    code = "40006" if verdict == "credentials" else None
    sent = SentRequest(Attempt(at_ms=now_ms, took_ms=20, verdict=verdict, code=code), now_s, 0.02, fingerprint)
    return await lanes.settler.settle(decide(ready, sent, now_ms=now_ms, max_tries=0))


async def drained(lanes: Lanes, clock: ManualClock, verdict: str, fingerprint: str) -> int:
    """Attempt all that is queued; return how many requests it took."""
    requests = 0
    while True:
        claims = await lanes.claims()
        for claim in claims.claims:
            settled = await attempt(lanes, claim, verdict, fingerprint)
            assert settled.finished == 1
        if not claims.claims and claims.next_due_s is None:
            break
        clock.advance(claims.next_due_s or 0)
    async for key in lanes.redis.scan_iter(KEYS.result + "*"):
        result = await Producer(lanes.redis).job(key.decode().removeprefix(KEYS.result)).result(timeout=0)
        requests += len(result.attempts)
    return requests


@pytest.fixture
async def refused(timed: Lanes, clock: ManualClock) -> Lanes:
    """A user whose three changes in two lanes ended by one rejection."""
    await timed.submit(
        ("a", change("1", "t1")), ("b", change("1", "t1")), ("c", change("1", "t2")), now_ms=clock.now_ms
    )
    first, *_ = await timed.claim(1)
    await attempt(timed, first, "credentials", OLD)
    assert await drained(timed, clock, "success", OLD) == 1
    return timed


async def test_one_rejection_ends_all_queued_changes_of_the_user(refused: Lanes) -> None:
    """Each `unauthorized` with the reason; the unsent ones without an attempt."""
    results = [await Producer(refused.redis).job(job_id).result(timeout=0) for job_id in "abc"]

    assert {result.outcome for result in results} == {Outcome.UNAUTHORIZED}
    assert [len(result.attempts) for result in results] == [1, 0, 0]
    assert "rejected this user's keys (code 40006)" in (results[1].message or "")


async def test_later_changes_end_unsent_while_the_keys_are_the_same(refused: Lanes, clock: ManualClock) -> None:
    """Hours later too; the one request counted is the rejection in the fixture."""
    clock.advance(10_000)
    await refused.submit(("late", change("1", "t1")), now_ms=clock.now_ms)

    assert await drained(refused, clock, "success", OLD) == 1
    assert (await Producer(refused.redis).job("late").result(timeout=0)).outcome is Outcome.UNAUTHORIZED


async def test_replaced_keys_are_tried_and_a_good_reply_ends_the_stop(refused: Lanes, clock: ManualClock) -> None:
    """Nothing about the rejected keys stays in Redis."""
    await refused.submit(("late", change("1", "t1")), now_ms=clock.now_ms)

    assert await drained(refused, clock, "success", NEW) == 2
    assert (await Producer(refused.redis).job("late").result(timeout=0)).applied
    assert await refused.redis.exists(KEYS.rejected_keys) == 0


async def test_replaced_keys_that_are_rejected_stop_the_user_again(refused: Lanes, clock: ManualClock) -> None:
    """One request with the new keys is enough; the next change ends unsent."""
    await refused.submit(("x", change("1", "t1")), ("y", change("1", "t1")), now_ms=clock.now_ms)

    assert await drained(refused, clock, "credentials", NEW) == 2


async def test_a_reply_without_a_verdict_on_the_keys_keeps_the_stop(refused: Lanes, clock: ManualClock) -> None:
    """Such as a 503."""
    await refused.submit(("x", change("1", "t1")), now_ms=clock.now_ms)
    await attempt(refused, (await refused.claim())[0], "transient", NEW)

    assert await refused.redis.exists(KEYS.rejected_keys) == 1


async def test_resuming_the_user_lets_the_same_keys_be_tried_again(refused: Lanes, clock: ManualClock) -> None:
    """Such as after their permissions were changed at the exchange."""
    producer = Producer(refused.redis)
    before = await producer.user_status("1")
    await refused.submit(("late", change("1", "t1")), now_ms=clock.now_ms)

    assert await producer.resume(user_id="1")
    assert await drained(refused, clock, "success", OLD) == 2
    assert before.refused_code == "40006"
    assert (await producer.user_status("1")).refused_code is None
    assert not await producer.resume(user_id="1")


async def test_keys_replaced_during_a_request_are_tried_at_once(timed: Lanes, clock: ManualClock) -> None:
    """Nothing ends and the user is not stopped: the old keys were rejected as they should be."""
    await timed.submit(("a", change("1")), now_ms=clock.now_ms)
    claim = await timed.claim_one()
    now_ms = clock.now_ms
    ready = validate_claim(claim, now_ms)
    assert not isinstance(ready, Finish)
    refused = Attempt(at_ms=now_ms, took_ms=20, verdict="credentials", code="40006")
    sent = SentRequest(refused, clock.monotonic(), 0.02, OLD, keys_replaced=True)
    settled = await timed.settler.settle(decide(ready, sent, now_ms=now_ms, max_tries=0))

    assert settled.finished == 0
    assert settled.again_in_s == pytest.approx(0, abs=0.2)
    assert await timed.redis.exists(KEYS.rejected_keys) == 0
    assert await drained(timed, clock, "success", NEW) == 2


async def test_rejected_keys_do_not_stop_other_users(refused: Lanes, clock: ManualClock) -> None:
    """The stop is per user, although both share an egress."""
    await refused.submit(("other", change("2", "t1")), now_ms=clock.now_ms)

    assert await drained(refused, clock, "success", OLD) == 2

"""Cancelling a change: what was not sent ends cancelled; what is in flight ends by its reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ops.keys import KEYS
from producers import Cancellation, CancelReport, JobState, Outcome, Producer
from producers.contract import keyspace
from producers.queue.cancel import cancel_jobs
from producers.queue.cancel_messages import CANCEL
from producers.transport.plan import Plan, RunScript, Step
from producers.transport.runner import fetch_reply
from tests.support.changes import TRADER, change, numbered
from tests.support.contents import contents
from tests.support.fan_outs import end_all, to_users
from tests.support.lanes import Lanes

LANE = keyspace.lane("1001", TRADER)


def advance(plan: Plan[Any], reply: Any) -> Step[Any] | None:
    try:
        return plan.send(reply)
    except StopIteration:
        return None


async def test_a_cancelled_change_has_a_result_and_leaves_its_lane(producer: Producer, lanes: Lanes) -> None:
    """Waiters get the result; the payload is deleted."""
    job = await producer.enqueue(change())
    waiting = asyncio.create_task(job.result(timeout=30))
    await asyncio.sleep(0)

    assert await job.cancel() is Cancellation.CANCELLED

    result = await waiting
    assert (result.outcome, result.user_id, result.trader_id) == (Outcome.CANCELLED, "1001", TRADER)
    assert (result.attempts, result.tries, result.started_at_ms) == ([], 0, None)
    assert (result.settings, result.template_of) == (change().settings, None)
    assert result.enqueued_at_ms <= result.finished_at_ms
    assert result.finished_at_ms == pytest.approx(await lanes.now_ms(), abs=30_000)
    assert (await job.status()).state is JobState.DONE
    left = await contents(lanes.redis)
    assert set(left) <= {KEYS.result + job.job_id, KEYS.counts, KEYS.wakeups, KEYS.layout}
    assert await lanes.redis.pttl(KEYS.result + job.job_id) > 0


async def test_the_result_of_a_cancelled_change_of_a_template_names_the_batch(producer: Producer) -> None:
    """The batch has what the change was to set."""
    batch = await to_users(producer, ["1001"])

    assert await producer.job("b..1001").cancel() is Cancellation.CANCELLED

    result = await producer.job("b..1001").result(timeout=0)
    assert (result.user_id, result.trader_id, result.settings) == ("1001", TRADER, None)
    assert result.template_of == batch.batch_id


@pytest.mark.parametrize("place", range(4))
async def test_cancelling_a_change_keeps_the_order_of_the_others(producer: Producer, lanes: Lanes, place: int) -> None:
    """For the first, the last and each middle place of a lane of four."""
    report = await producer.enqueue_many(numbered(4))
    ids = [job.job_id for job in report.jobs]

    await report.jobs[place].cancel()

    assert await lanes.uncovered() == set()
    assert await end_all(lanes) == ids[:place] + ids[place + 1 :]


@pytest.mark.parametrize("coalesce", [False, True])
async def test_a_change_in_flight_cannot_be_cancelled(producer: Producer, lanes: Lanes, coalesce: bool) -> None:
    """It ends by its reply; changes behind it can be cancelled meanwhile, also those that were offered with it."""
    head, second = (await producer.enqueue_many(numbered(2), coalesce=coalesce)).jobs
    claim = await lanes.claim_one()

    assert await head.cancel() is Cancellation.IN_FLIGHT
    assert await second.cancel() is Cancellation.CANCELLED
    assert not (await lanes.done(claim)).fenced

    assert (await producer.job(head.job_id).result(timeout=0)).applied
    assert await head.cancel() is Cancellation.ENDED
    assert await lanes.uncovered() == set()


async def test_a_change_of_a_lost_worker_cannot_be_cancelled_until_its_lane_is_taken_back(
    steering: Producer, timed: Lanes
) -> None:
    """It may have been sent, and its result says so."""
    job = await steering.enqueue(change())
    await timed.claim_one()
    assert await job.cancel() is Cancellation.IN_FLIGHT

    await timed.lapse()

    assert await job.cancel() is Cancellation.CANCELLED
    assert "it may have been sent" in (await job.result(0)).message


async def test_a_change_cancelled_between_retries_keeps_its_attempts(producer: Producer, lanes: Lanes) -> None:
    """The next change is due at once: the back-off was not its own."""
    first, second = (await producer.enqueue_many(numbered(2))).jobs
    for _ in range(2):
        await lanes.due_now(LANE)
        await lanes.attempt(await lanes.claim_one(), "transient", code="40725")

    assert await first.cancel() is Cancellation.CANCELLED

    result = await first.result(timeout=0)
    assert (result.outcome, result.tries, [aiter_any.code for aiter_any in result.attempts]) == (
        Outcome.CANCELLED,
        2,
        ["40725", "40725"],
    )
    assert result.started_at_ms == result.attempts[0].at_ms
    claim = await lanes.claim_one()
    assert (claim.job_id, claim.history, claim.lost_deliveries) == (second.job_id, None, 0)


async def test_a_change_behind_one_that_waits_for_a_retry_does_not_get_its_attempts(
    producer: Producer, lanes: Lanes
) -> None:
    """Attempts are stored per lane for its head; only the head's result may show them."""
    first, second = (await producer.enqueue_many(numbered(2))).jobs
    await lanes.attempt(await lanes.claim_one(), "transient")

    assert await second.cancel() is Cancellation.CANCELLED

    assert (await second.result(timeout=0)).attempts == []
    assert (await producer.cancel_user("1001")) == CancelReport(1, 0)
    assert len((await first.result(timeout=0)).attempts) == 1


async def test_cancel_distinguishes_ended_and_unknown_changes(producer: Producer, lanes: Lanes) -> None:
    """It writes nothing for either."""
    job = await producer.enqueue(change())
    await lanes.attempt(await lanes.claim_one())
    before = await contents(lanes.redis)

    assert await job.cancel() is Cancellation.ENDED
    assert await producer.job("never").cancel() is Cancellation.NOT_FOUND
    assert await contents(lanes.redis) == before


async def test_cancel_does_not_report_a_malformed_change_as_not_found(producer: Producer, lanes: Lanes) -> None:
    """Its payload cannot be read, but it is queued."""
    job = await producer.enqueue(change())
    await lanes.redis.set(KEYS.job + job.job_id, b"\xc1")
    assert (await job.status()).state is JobState.QUEUED

    assert await job.cancel() is not Cancellation.NOT_FOUND


async def test_a_change_is_cancelled_or_claimed_never_both(producer: Producer, lanes: Lanes) -> None:
    """Fifty races of a cancellation with a claim, or with a settlement that puts the lane back."""
    for number in range(50):
        job = await producer.enqueue(change(), job_id=f"j{number}")
        if number % 2:
            claim = await lanes.claim_one()
            settled, verdict = await asyncio.gather(lanes.back(claim, 60), job.cancel())
            assert not settled.fenced
            if verdict is Cancellation.IN_FLIGHT:
                verdict = await job.cancel()
            assert verdict is Cancellation.CANCELLED
        else:
            claims, verdict = await asyncio.gather(lanes.claim(), job.cancel())
            assert (verdict, len(claims)) in ((Cancellation.CANCELLED, 0), (Cancellation.IN_FLIGHT, 1))
            for claim in claims:
                await lanes.done(claim)
        assert await lanes.uncovered() == set()
        assert await lanes.queued(LANE) == []


@pytest.mark.parametrize("place", [0, 1])
async def test_cancel_reads_a_head_again_that_was_attempted_meanwhile(
    producer: Producer, lanes: Lanes, place: int
) -> None:
    """Its result has the last attempt too; a change behind the head is cancelled at the first try."""
    head, second = (await producer.enqueue_many(numbered(2))).jobs
    await lanes.attempt(await lanes.claim_one(), "transient")
    plan = cancel_jobs(KEYS, [(head, second)[place].job_id], result_ttl_ms=60_000)
    runs, reply = 0, None
    while (step := advance(plan, reply)) is not None:
        if isinstance(step, RunScript) and step.script is CANCEL:
            if runs == 0:
                await lanes.due_now(LANE)
                await lanes.attempt(await lanes.claim_one(), "transient")
            runs += 1
        reply = await fetch_reply(lanes.redis, step)

    assert runs == 2 - place
    ended = await producer.job((head, second)[place].job_id).result(timeout=0)
    assert len(ended.attempts) == (2, 0)[place]

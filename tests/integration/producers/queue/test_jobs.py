"""Handles to changes: their status and their results."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import JobNotFound, JobState, JobStatus, Outcome, Producer
from tests.support.changes import change, numbered
from tests.support.lanes import Lanes


async def test_a_queued_change_has_its_position_in_the_lane(producer: Producer) -> None:
    """Position 0 is sent next."""
    report = await producer.enqueue_many(numbered(3))

    statuses = [await job.status() for job in report.jobs]
    assert [(status.state, status.position) for status in statuses] == [(JobState.QUEUED, n) for n in range(3)]


async def test_a_claimed_change_is_in_flight_and_the_next_one_queued(producer: Producer, lanes: Lanes) -> None:
    """Until it is put back."""
    first, second = (await producer.enqueue_many(numbered(2))).jobs
    claim = await lanes.claim_one()

    assert await first.status() == JobStatus(JobState.IN_FLIGHT)
    assert (await second.status()).position == 1
    await lanes.back(claim, 60)
    assert (await first.status()).position == 0


async def test_an_ended_change_is_done_with_its_result(producer: Producer, lanes: Lanes) -> None:
    """Also for a handle made from the ID."""
    job = await producer.enqueue(change())
    await lanes.done(await lanes.claim_one(), Outcome.REJECTED, code="40034")

    status = await producer.job(job.job_id).status()

    assert status.state is JobState.DONE
    assert status.result is not None
    assert (status.result.outcome, status.result.code) == (Outcome.REJECTED, "40034")
    assert await job.result(timeout=0) == status.result


async def test_an_unknown_job_is_not_found_at_once(producer: Producer) -> None:
    """Without a timeout, waiting for it would never end."""
    job = producer.job("nobody")

    assert await job.status() == JobStatus(JobState.NOT_FOUND)
    with pytest.raises(JobNotFound, match="nobody"):
        await job.result()


async def test_a_malformed_result_is_reported_as_such(producer: Producer, redis: ArqRedis) -> None:
    """The message says that the stored value is not a result, rather than a decoding error."""
    await redis.set(KEYS.result + "j1", b"\xc1 no result")

    with pytest.raises(JobNotFound, match="what is stored as its result is none"):
        await producer.job("j1").result()


async def test_a_change_with_a_malformed_payload_counts_as_queued(producer: Producer, redis: ArqRedis) -> None:
    """It ends as rejected when it is claimed."""
    await producer.enqueue(change(), job_id="j1")
    await redis.set(KEYS.job + "j1", b"\xc1")

    assert await producer.job("j1").status() == JobStatus(JobState.QUEUED)

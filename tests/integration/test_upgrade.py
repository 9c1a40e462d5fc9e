"""A queue that the version before (commit 700f862) wrote is drained by this one.

The leases, slots and back-offs in the dump are times of the Redis that wrote it. So the server's clock is set to the
moment of the dump, and only the test moves it: on any day, and on any machine, the same leases lapse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ops.keys import KEYS
from producers import Cancellation, JobResult, JobState, Outcome, Producer
from producers.transport.dsn import open_redis
from tests.support.lanes import DEFAULTS, PACING, Lanes
from tests.support.manual_clock import START_US, ManualClock
from tests.support.stored_queue import StoredQueue
from tests.support.timed_redis import TimedRedis
from worker.queue.claims import Claim

QUEUE = StoredQueue.from_file("queue_of_700f862.json")
PAUSED_LANE = "904:t1"


class Upgraded(Lanes):
    """The stored queue on a real server, drained by the scripts and decisions of this version."""

    redis: TimedRedis
    clock: ManualClock

    async def advance(self, seconds: float) -> None:
        """Move the worker's clock and the server's on."""
        self.clock.advance(seconds)
        await self.redis.set_time(self.clock.now_us - START_US + QUEUE.at_us)

    async def drain(self) -> list[Claim]:
        """Answer every request with success until nothing is due within a lease; return the claims in order."""
        made: list[Claim] = []
        while True:
            claims = await self.claims()
            for claim in claims.claims:
                await self.attempt(claim, code="00000")
            made += claims.claims
            if not claims.claims and (claims.next_due_s is None or claims.next_due_s > DEFAULTS.lease_s):
                return made
            await self.advance((claims.next_due_s or 0) + 0.001)


@pytest.fixture
async def upgraded(valkey_dsn: str) -> AsyncIterator[Upgraded]:
    """The stored queue, at the moment of its dump."""
    redis = open_redis(valkey_dsn, TimedRedis, timeout_s=5)
    lanes = Upgraded(redis, clock=ManualClock(), pacing=PACING)
    await redis.set_time(QUEUE.at_us)
    await QUEUE.load(redis)
    yield lanes
    await redis.aclose()


async def finished(lanes: Lanes) -> int:
    return sum([int(count) for count in await lanes.redis.hvals(KEYS.counts)])  # type: ignore[misc]


async def results(producer: Producer) -> dict[str, JobResult]:
    ids = [job_id for queued in QUEUE.queued.values() for job_id in queued]
    return {job_id: await producer.job(job_id).result(timeout=0) for job_id in ids}


async def test_every_change_of_the_version_before_gets_one_outcome_in_the_order_of_its_lane(upgraded: Upgraded) -> None:
    """The paused user waits until it is resumed; the batch completes."""
    producer = Producer(upgraded.redis)
    finished_before = await finished(upgraded)
    before = await upgraded.drain()
    assert await upgraded.queued(PAUSED_LANE) == QUEUE.queued[PAUSED_LANE]
    await producer.resume(user_id="904")

    claims = before + await upgraded.drain()

    for lane, queued in QUEUE.queued.items():
        ended = [
            job_id for claim in claims if claim.lane == lane for job_id in (claim.job_id, *dict(claim.coalescable))
        ]
        assert ended == queued
    assert await upgraded.uncovered() == set()
    assert await upgraded.redis.keys(KEYS.job + "*") == []
    outcomes = {job_id: result.outcome for job_id, result in (await results(producer)).items()}
    assert outcomes.pop("joins-0") is Outcome.SUPERSEDED
    assert set(outcomes.values()) == {Outcome.APPLIED}
    assert await finished(upgraded) - finished_before == len(outcomes) + 1
    batch = producer.batch("july")
    progress = await batch.progress()
    assert (progress.complete, progress.total, progress.in_flight) == (True, 12, 0)
    assert progress.outcomes == {Outcome.APPLIED: 12}
    assert len([result async for result in batch.results()]) == 12


async def test_an_attempt_of_the_version_before_stays_in_the_history_of_its_change(upgraded: Upgraded) -> None:
    """A change that it put back is sent again."""
    await upgraded.drain()

    result = await Producer(upgraded.redis).job("tried").result(timeout=0)

    assert (result.outcome, result.tries) == (Outcome.APPLIED, 2)
    assert [(attempt.verdict, attempt.code) for attempt in result.attempts] == [
        ("transient", "45001"),
        ("success", "00000"),
    ]


async def test_a_lane_that_the_version_before_held_in_flight_is_claimed_once_its_lease_has_lapsed(
    upgraded: Upgraded,
) -> None:
    """The settlement of the worker that lost it changes nothing."""
    lane = QUEUE.held["lane"]
    lease_until_ms = await upgraded.due_ms(lane) or await upgraded.redis.zscore(KEYS.bulk_schedule, lane) or 0

    claims = await upgraded.drain()

    (claim,) = [claim for claim in claims if claim.lane == lane]
    assert claim.lost_deliveries == 1
    assert claim.redis_ms(claim.slot_at_s) >= lease_until_ms
    assert (await upgraded.done(replace(claim, token=QUEUE.held["token"]), Outcome.REJECTED)).fenced


async def test_dead_letters_of_the_version_before_can_be_replayed(upgraded: Upgraded) -> None:
    """Each of them is applied."""
    producer = Producer(upgraded.redis)

    report = await producer.dead.replay(everything=True)
    await upgraded.drain()

    assert sorted(old for old, _ in report.replayed) == ["ended-1", "ended-2", "unauthorized"]
    for _, new in report.replayed:
        assert (await producer.job(new).result(timeout=0)).outcome is Outcome.APPLIED


async def test_settings_of_users_and_results_of_the_version_before_are_read(upgraded: Upgraded) -> None:
    """A rate, a pause, refused keys, how changes ended."""
    producer = Producer(upgraded.redis)

    assert (await producer.user_status("905")).rate_per_s == 2
    assert [(pause.kind, pause.name) for pause in await producer.paused()] == [("user", "904")]
    assert (await producer.job("ended-0").result(timeout=0)).applied
    assert (await producer.job("ended-1").result(timeout=0)).code == "40034"


async def test_changes_of_a_batch_are_found_under_the_old_and_the_new_form_of_their_ids(upgraded: Upgraded) -> None:
    """`july//103` was made by the version before; this one would make `july..103`."""
    producer = Producer(upgraded.redis)

    assert (await producer.job("july..103").status()).state is JobState.QUEUED
    assert await producer.job("july..102").cancel() is Cancellation.CANCELLED
    await upgraded.drain()

    for job_id in ("july//103", "july..103"):
        assert (await producer.job(job_id).result(timeout=0)).outcome is Outcome.APPLIED
    assert (await producer.job("july//102").status()).state is JobState.DONE


async def test_a_batch_of_the_version_before_can_be_cancelled(upgraded: Upgraded) -> None:
    """One of its twelve changes has ended, and one is in flight."""
    batch = Producer(upgraded.redis).batch("july")

    report = await batch.cancel()

    progress = await batch.progress()
    assert (report.cancelled, report.in_flight, progress.total) == (10, 1, 12)
    assert progress.outcomes == {Outcome.APPLIED: 1, Outcome.CANCELLED: 10}


async def test_failed_changes_of_a_batch_of_the_version_before_can_be_retried(upgraded: Upgraded) -> None:
    """As a batch of this version."""
    producer = Producer(upgraded.redis)
    claim = next(claim for claim in (await upgraded.claims()).claims if claim.job_id.startswith("july//"))
    await upgraded.done(claim, Outcome.REJECTED)
    assert (await producer.dead.get(claim.job_id.replace("//", ".."))).job_id == claim.job_id

    retried = await producer.batch("july").retry_failed()
    await upgraded.drain()

    assert [result.job_id async for result in retried.results()] == [f"{retried.batch_id}..0"]

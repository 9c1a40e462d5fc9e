"""A queue of layout 1, as commit 700f862 and the last version before layout 2 wrote it, is moved and drained.

The leases, slots and back-offs in a dump are times of the Redis that wrote it. So the server's clock is set to the
moment of the dump, and only the test moves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ops.keys import KEYS
from producers import (
    Cancellation,
    JobResult,
    JobState,
    Outcome,
    Producer,
)
from tests.support.lanes import Lanes
from tests.support.stored_queue import StoredQueue
from tests.support.upgraded import Upgraded, open_queue

OLDER, NEWER = (StoredQueue.from_file(f"queue_of_{name}.json") for name in ("700f862", "layout_1"))
PAUSED_LANE = "904:t1"


@pytest.fixture(params=[OLDER, NEWER], ids=["700f862", "layout 1"])
async def stored(request: pytest.FixtureRequest, valkey_dsn: str) -> AsyncIterator[Upgraded]:
    """A stored queue, at the moment of its dump."""
    lanes = await open_queue(valkey_dsn, request.param)
    yield lanes
    await lanes.redis.aclose()


@pytest.fixture
async def upgraded(stored: Upgraded) -> Upgraded:
    """The same after it was moved."""
    await Producer(stored.redis).migrate()
    return stored


@pytest.fixture
async def upgraded_older(valkey_dsn: str) -> AsyncIterator[Upgraded]:
    """The queue of 700f862 after it was moved."""
    lanes = await open_queue(valkey_dsn, OLDER)
    await Producer(lanes.redis).migrate()
    yield lanes
    await lanes.redis.aclose()


async def finished(lanes: Lanes) -> int:
    return sum([int(count) for count in await lanes.redis.hvals(KEYS.counts)])  # type: ignore[misc]


async def results(producer: Producer, queue: StoredQueue) -> dict[str, JobResult]:
    ids = [job_id for queued in queue.queued.values() for job_id in queued]
    return {job_id: await producer.job(job_id).result(timeout=0) for job_id in ids}


async def test_every_change_of_the_version_before_gets_one_outcome_in_the_order_of_its_lane(upgraded: Upgraded) -> None:
    """The paused user waits until it is resumed; the batch completes."""
    producer = Producer(upgraded.redis)
    finished_before = await finished(upgraded)
    before = await upgraded.drain()
    assert await upgraded.queued(PAUSED_LANE) == upgraded.queue.queued[PAUSED_LANE]
    await producer.resume(user_id="904")

    claims = before + await upgraded.drain()

    for lane, queued in upgraded.queue.queued.items():
        ended = [
            job_id for claim in claims if claim.lane == lane for job_id in (claim.job_id, *dict(claim.coalescable))
        ]
        assert ended == queued
    assert await upgraded.uncovered() == set()
    assert await upgraded.redis.keys(KEYS.job + "*") == []
    outcomes = {job_id: result.outcome for job_id, result in (await results(producer, upgraded.queue)).items()}
    superseded = {job_id for job_id, outcome in outcomes.items() if outcome is Outcome.SUPERSEDED}
    assert "joins-0" in superseded
    assert superseded <= {"joins-0", "joins-1"}
    assert {outcome for job_id, outcome in outcomes.items() if job_id not in superseded} == {Outcome.APPLIED}
    assert await finished(upgraded) - finished_before == len(outcomes)
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


async def test_a_lane_that_the_version_before_held_in_flight_is_repeated_and_counts_as_lost(upgraded: Upgraded) -> None:
    """Its user waits until no window holds the lost request, and the lane's next change until it cannot be applied."""
    lane = upgraded.queue.held["lane"]

    claims = await upgraded.drain()

    (claim,) = [claim for claim in claims if claim.lane == lane]
    assert claim.lost_deliveries == 1
    assert claim.slot_at_s >= 2


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


async def test_changes_of_a_batch_are_found_under_the_old_and_the_new_form_of_their_ids(
    upgraded_older: Upgraded,
) -> None:
    """`july//103` was made by the version before; this one would make `july..103`."""
    producer = Producer(upgraded_older.redis)

    assert (await producer.job("july..103").status()).state is JobState.QUEUED
    assert await producer.job("july..102").cancel() is Cancellation.CANCELLED
    await upgraded_older.drain()

    for job_id in ("july//103", "july..103"):
        assert (await producer.job(job_id).result(timeout=0)).outcome is Outcome.APPLIED
    assert (await producer.job("july//102").status()).state is JobState.DONE


async def test_a_batch_of_the_version_before_can_be_cancelled(upgraded: Upgraded) -> None:
    """One of its twelve changes has ended; the one that was in flight is not any more."""
    batch = Producer(upgraded.redis).batch("july")

    report = await batch.cancel()

    progress = await batch.progress()
    assert (report.cancelled, report.in_flight, progress.total) == (11, 0, 12)
    assert progress.outcomes == {Outcome.APPLIED: 1, Outcome.CANCELLED: 11}


async def test_failed_changes_of_a_batch_of_the_version_before_can_be_retried(upgraded_older: Upgraded) -> None:
    """As a batch of this version."""
    producer = Producer(upgraded_older.redis)
    claim = next(claim for claim in (await upgraded_older.claims()).claims if claim.job_id.startswith("july//"))
    await upgraded_older.done(claim, Outcome.REJECTED)
    assert (await producer.dead.get(claim.job_id.replace("//", ".."))).job_id == claim.job_id

    retried = await producer.batch("july").retry_failed()
    await upgraded_older.drain()

    member = claim.job_id.removeprefix("july//")
    assert [result.job_id async for result in retried.results()] == [f"{retried.batch_id}..{member}"]

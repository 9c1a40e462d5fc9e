"""The synchronous producer on a real server: its own waiting, threads and transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from arq.connections import ArqRedis
from redis import Redis

from ops.keys import KEYS
from producers import (
    BatchConflict,
    BatchRefused,
    Cancellation,
    Check,
    CheckStatus,
    InvalidCursor,
    JobState,
    Outcome,
    Preview,
    QueueUnavailable,
    ResultTimeout,
)
from producers.sync import Producer, diagnose
from tests.support.changes import TRADER, change, numbered, setting
from tests.support.fan_outs import end_all
from tests.support.lanes import Lanes

NOBODY_THERE = "redis://127.0.0.1:1/0"
WITHIN_S = 20.0


@pytest.fixture
def producer(valkey_dsn: str) -> Iterator[Producer]:
    """A synchronous producer of a real, empty server."""
    with Producer.connect(valkey_dsn) as connected:
        yield connected


@pytest.fixture
def lanes(valkey: ArqRedis) -> Lanes:
    """The worker's side of the queue."""
    return Lanes(valkey)


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_the_checks_of_the_doctor_run_without_await(valkey_server: str, *, in_a_loop: bool) -> None:
    """Also in a thread that runs an event loop, as in a notebook."""

    async def in_loop() -> list[Check]:
        return diagnose(dsn=valkey_server)

    checks = asyncio.run(in_loop()) if in_a_loop else diagnose(dsn=valkey_server)

    assert {check.name: check.status for check in checks}["redis"] is CheckStatus.OK


async def test_a_waiting_thread_gets_the_result(producer: Producer, lanes: Lanes) -> None:
    """The change is settled only after the thread has subscribed."""
    job = producer.enqueue(change())
    waiting = asyncio.create_task(asyncio.to_thread(job.result, WITHIN_S))
    channel = KEYS.job_done + job.job_id
    while await lanes.redis.pubsub_numsub(channel) != [(channel.encode(), 1)]:  # noqa: ASYNC110 - in another thread
        await asyncio.sleep(0.005)

    await lanes.done(await lanes.claim_one())

    assert (await waiting).outcome is Outcome.APPLIED


def test_a_result_that_does_not_come_is_a_time_out(producer: Producer) -> None:
    """With and without waiting; the change stays queued."""
    job = producer.enqueue(change())

    for timeout in (0, 0.05):
        with pytest.raises(ResultTimeout):
            job.result(timeout)
    assert job.status().state is JobState.QUEUED


def test_a_change_is_cancelled(producer: Producer) -> None:
    """A second cancel finds it ended, and its ID stays taken."""
    job = producer.enqueue(change(), job_id="a")

    assert job.cancel() is Cancellation.CANCELLED
    assert job.result(0).outcome is Outcome.CANCELLED
    assert producer.job("a").cancel() is Cancellation.ENDED
    assert producer.enqueue(change(), job_id="a").already_there


def test_many_changes_keep_their_order(producer: Producer) -> None:
    """Over several chunks, with an invalid one in the middle that is reported by index."""
    changes = [*numbered(700), change(user="not an ID"), *numbered(600)]

    report = producer.enqueue_many(changes)

    assert [refusal.index for refusal in report.refused] == [700]
    assert [job.status().position for job in (report.jobs[0], report.jobs[700], report.jobs[-1])] == [0, 700, 1299]


async def test_a_fan_out_and_its_stream_of_results(producer: Producer, lanes: Lanes) -> None:
    """1,200 results, read while they arrive, from the middle by a cursor, and by pages."""
    users = [str(number) for number in range(1200)]
    batch = producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=iter(users), batch_id="b")
    reading = asyncio.create_task(asyncio.to_thread(lambda: [result.user_id for result in batch.results()]))

    assert len(await end_all(lanes)) == len(users)

    async with asyncio.timeout(WITHIN_S):
        assert sorted(await reading) == sorted(["1001"] * len(users))  # the user of the test's results
    progress = batch.wait(timeout=30)
    assert (progress.total, progress.ended, progress.complete) == (1200, 1200, True)
    stream = batch.results()
    first = [next(stream) for _ in range(500)]
    assert len(first) + len(list(batch.results(after=stream.cursor))) == len(users)
    page = batch.page(limit=10)
    assert (len(page.results), page.complete) == (10, False)
    assert list(batch.failures()) == []
    with pytest.raises(InvalidCursor):
        batch.results(after="c/0-0")


def test_a_fan_out_is_repeated_without_doubles(producer: Producer) -> None:
    """Other content is a conflict; neither all-or-nothing with an invalid item nor a dry run writes anything."""
    again = [
        producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1", "2"], batch_id="b") for _ in range(2)
    ]

    reports = [batch.report for batch in again if batch.report is not None]
    assert [(report.accepted, report.already_there) for report in reports] == [(2, 0), (0, 2)]
    with pytest.raises(BatchConflict):
        producer.fan_out(changes=[change()], batch_id="b")
    with pytest.raises(BatchRefused):
        producer.fan_out(changes=[change(), change(user="")], batch_id="c", all_or_nothing=True)
    preview = producer.fan_out(changes=[change(), change(user="")], batch_id="c", dry_run=True)
    assert isinstance(preview, Preview)
    assert (len(preview.changes), len(preview.refused)) == (1, 1)
    assert [progress.batch_id for progress in producer.batches()] == ["b"]


async def test_an_asynchronous_iterable_is_rejected(producer: Producer) -> None:
    """No event loop of the caller could read it."""

    async def users() -> AsyncIterator[str]:
        yield "1"

    with pytest.raises(TypeError, match="asynchronous"):
        producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=users())  # type: ignore[call-overload]


async def test_dead_letters_are_listed_and_replayed(producer: Producer, lanes: Lanes) -> None:
    """Counted, read, retried as a batch, replayed one by one, and dropped."""
    batch = producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1", "2"], batch_id="b")
    producer.enqueue(change("3"), job_id="c")
    await end_all(lanes, Outcome.REJECTED)

    assert producer.dead.counts()[Outcome.REJECTED] == 3
    assert sorted(letter.user_id for letter in producer.dead.list()) == ["1", "2", "3"]
    assert producer.dead.get("c").change == change("3")
    retried = batch.retry_failed().report
    assert retried is not None
    assert retried.accepted == 2
    letter = producer.dead.get("c")
    assert producer.dead.replay("c").replayed == [("c", letter.replay_id)]
    await end_all(lanes, Outcome.REJECTED)
    assert producer.dead.drop(outcome=Outcome.REJECTED) == 3


async def test_users_are_paused_limited_cancelled_and_shown(producer: Producer, lanes: Lanes) -> None:
    """One walk through what an operator does to a user and to a batch."""
    producer.enqueue_many(numbered(3, user="7"))

    assert (producer.pause(user_id="7"), producer.pause(user_id="7")) == (True, False)
    assert await lanes.claim() == []
    assert [(pause.kind, pause.name) for pause in producer.paused()] == [("user", "7")]
    producer.limit_user("7", 5)
    status = producer.user_status("7")
    assert (status.paused, status.rate_per_s, [lane.queued for lane in status.lanes]) == (True, 5.0, [3])
    assert producer.resume(user_id="7")
    assert producer.cancel_user("7").cancelled == 3
    assert producer.overview().interactive.users == 0
    batch = producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1", "2"])
    assert batch.cancel().cancelled == 2
    assert batch.progress().cancelled


def test_threads_share_a_producer(producer: Producer) -> None:
    """Eight threads; each of 200 changes is accepted once and is in its user's lane."""
    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(lambda number: producer.enqueue(change(str(number % 10))), range(200)))

    assert len({job.job_id for job in jobs}) == 200
    assert sum(lane.queued for user in range(10) for lane in producer.user_status(str(user)).lanes) == 200


def test_an_unreachable_redis_is_reported_with_the_job_id_to_repeat_with() -> None:
    """With the same ID, a repeat cannot submit the change twice."""
    with Producer.connect(NOBODY_THERE) as producer:
        with pytest.raises(QueueUnavailable, match="job_id='a'"):
            producer.enqueue(change(), job_id="a")
        with pytest.raises(QueueUnavailable):
            producer.fan_out(trader_id=TRADER, settings=[setting()], user_ids=["1"], batch_id="b")
        with pytest.raises(QueueUnavailable):
            producer.job("a").result(timeout=1)


def test_closing_a_producer_closes_only_what_connect_opened(valkey_dsn: str) -> None:
    """A client of the caller's stays open."""
    with Redis.from_url(valkey_dsn) as redis:
        with Producer(redis) as producer:
            producer.enqueue(change())
            before = redis.client_id()
        assert redis.client_id() == before

    with Producer.connect(valkey_dsn) as producer:
        producer.enqueue(change())
        ((_, connection),) = producer._redis.connection_pool._idle._entries  # type: ignore[attr-defined]
    assert connection._sock is None

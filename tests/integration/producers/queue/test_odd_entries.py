"""One odd entry in Redis, beside a good one: the good one is read, the odd one is left out and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import BatchNotFound, Cancellation, CancelReport, JobState, Outcome, Producer
from producers.contract import keyspace
from tests.support.changes import change
from tests.support.fan_outs import end_all, to_users
from tests.support.lanes import Lanes

USER = "1001"
LANE = keyspace.lane(USER, "t1")
NO_TEXT = b"\xff\xfe"
NO_NUMBERS = (NO_TEXT, b"seven", b"nan", b"-inf", b"1e400", b"9" * 5000)

Spoil = Callable[[ArqRedis], Awaitable[Any]]


ODD_WORKER = "odd:s1:w"


async def odd_user(redis: ArqRedis) -> None:
    """Schedule a user whose name cannot be read, with a lane."""
    await redis.zadd(KEYS.schedule, {NO_TEXT: 0})
    await redis.zadd(KEYS.lanes.encode() + NO_TEXT, {"t1": 0})
    await redis.hset(KEYS.heads.encode() + NO_TEXT, "t1", "1 1 0 0 i j3")  # type: ignore[arg-type,misc]


def put(*command: bytes | str) -> Spoil:
    """Return what sends one command to Redis."""
    return lambda redis: redis.execute_command(*command)  # type: ignore[no-untyped-call]


def named(part: object) -> str | None:
    return repr(part)[:20] if isinstance(part, bytes) else None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (NO_TEXT, b"1"),
        (b"user:" + NO_TEXT, b"1"),
        (b"planet:mars", b"1"),
        *((b"user:7", value) for value in NO_NUMBERS),
    ],
    ids=named,
)
async def test_an_odd_pause_hides_no_other(producer: Producer, redis: ArqRedis, field: bytes, value: bytes) -> None:
    """In the list of pauses, and in the overview."""
    await producer.pause(user_id=USER)
    await redis.hset(KEYS.paused, field, value)  # type: ignore[arg-type,misc]

    listed, overview = await producer.paused(), await producer.overview()

    assert [pause.name for pause in listed] == [pause.name for pause in overview.pauses] == [USER]
    assert (listed.malformed, overview.malformed) == (1, 1)


@pytest.mark.parametrize("scope", [{"user_id": USER}, {"trader_id": "t1"}], ids=str)
async def test_an_odd_lane_is_in_nobody_s_way(producer: Producer, lanes: Lanes, scope: dict[str, Any]) -> None:
    """Resuming its user or its trader wakes the good lane; the status of the user and its rate stay readable."""
    await lanes.submit(("j1", change(USER)))
    await lanes.redis.zadd(KEYS.lanes + USER, {NO_TEXT: 0})
    await lanes.redis.hset(KEYS.heads + USER, NO_TEXT, b"1 1 0 0 i j2")  # type: ignore[arg-type,misc]
    await lanes.redis.zadd(KEYS.schedule, {NO_TEXT: 0})
    await producer.pause(**scope)
    assert await lanes.claim() == []

    await producer.resume(**scope)
    await producer.limit_user(USER, 5)

    assert [claim.job_id for claim in await lanes.claim()] == ["j1"]
    status = await producer.user_status(USER)
    assert ([lane.head for lane in status.lanes], status.malformed) == (["j1"], 1)


async def test_cancelling_a_user_or_a_batch_leaves_out_odd_ids(producer: Producer, redis: ArqRedis) -> None:
    """The other changes are cancelled."""
    await producer.enqueue(change(USER), job_id="j1")
    batch = await to_users(producer, ["2", "3"])
    await redis.rpush(KEYS.rest + LANE, NO_TEXT)  # type: ignore[misc]
    await redis.hset(KEYS.heads + USER, "t2", NO_TEXT)  # type: ignore[arg-type,misc]
    await redis.sadd(KEYS.batch_members + batch.batch_id, NO_TEXT)  # type: ignore[misc]

    assert await producer.cancel_user(USER) == CancelReport(cancelled=1, in_flight=0, malformed=2)
    assert await batch.cancel() == CancelReport(cancelled=2, in_flight=0, malformed=1)


@pytest.mark.parametrize("odd", NO_NUMBERS, ids=named)
@pytest.mark.parametrize(
    ("key", "field"),
    [
        (KEYS.attempts + LANE, "lost_deliveries"),
        (KEYS.bucket_of(USER), None),
        (KEYS.rates, USER),
        (KEYS.sessions, "odd"),
        (KEYS.egress + "default", "pace"),
        (KEYS.egress + "default", "min_rtt"),
        (KEYS.egress + "default", "probe_at"),
        (KEYS.batch + "b", "outcome_cancelled"),
    ],
)
async def test_an_odd_number_counts_as_absent(
    producer: Producer, lanes: Lanes, redis: ArqRedis, key: str, field: str | None, odd: bytes
) -> None:
    """The change that it belongs to can be seen, resumed and cancelled."""
    batch = await to_users(producer, [USER])
    await lanes.back(await lanes.claim_one(), replied=False)
    if field is None:
        await redis.set(key, odd)
    else:
        await redis.hset(key, field, odd)  # type: ignore[arg-type,misc]
    await redis.sadd(KEYS.egresses, "default")  # type: ignore[misc]
    (job_id,) = [lane.head for lane in (await producer.user_status(USER)).lanes]

    await producer.resume(user_id=USER)
    status, listed, overview = await producer.user_status(USER), await producer.batches(), await producer.overview()

    assert (status.rate_per_s, status.hold_s, status.slowed) == (None, 0, 1)
    assert [progress.batch_id for progress in listed] == ([] if key == KEYS.batch + "b" else [batch.batch_id])
    assert [lane.user_id for lane in overview.next_lanes] == [USER]
    assert (await producer.job(job_id).status()).state is JobState.QUEUED
    assert await producer.job(job_id).cancel() is Cancellation.CANCELLED


@pytest.mark.parametrize(
    "spoil",
    [
        put("ZADD", KEYS.batches, "9999999999999", NO_TEXT),
        *(put("HSET", KEYS.batch + "odd", "total", value) for value in (NO_TEXT, b"seven", b"nan", b"9" * 5000)),
        *(put("HSET", KEYS.batch + "odd", "created_at", value) for value in NO_NUMBERS),
        put("HSET", KEYS.batch + "odd", "priority", "urgent"),
        put("HDEL", KEYS.batch + "odd", "priority"),
    ],
)
async def test_an_odd_batch_hides_no_other(producer: Producer, redis: ArqRedis, spoil: Spoil) -> None:
    """However many are asked for. Newer ones are odd or have expired."""
    await to_users(producer, [USER], "good")
    await to_users(producer, [USER], "odd")
    await redis.zadd(KEYS.batches, {"odd": 9999999999998, "expired": 9999999999997})
    await spoil(redis)

    listed = await producer.batches()

    assert "good" in [progress.batch_id for progress in listed]
    assert listed.malformed == 1
    assert [progress.batch_id for progress in await producer.batches(limit=1)] == [listed[0].batch_id]


async def test_a_batch_whose_counters_cannot_be_read_is_named(producer: Producer, redis: ArqRedis) -> None:
    """With an error of this package."""
    batch = await to_users(producer, [USER])
    await redis.hset(KEYS.batch + batch.batch_id, "created_at", NO_TEXT)  # type: ignore[arg-type,misc]

    with pytest.raises(BatchNotFound, match="the counters of batch b cannot be read"):
        await batch.progress()


async def test_odd_entries_of_a_stream_of_results_hide_no_other(producer: Producer, lanes: Lanes) -> None:
    """By page, as a stream and as failures; a whole page of them ends nothing early."""
    stream = KEYS.batch_results + "b"
    batch = await to_users(producer, [USER, "2"])
    for fields in (
        {"job": NO_TEXT, "outcome": "applied"},
        {"job": "x", "outcome": "lost"},
        {"job": "x"},
        {"what": "x"},
    ):
        await lanes.redis.xadd(stream, fields)  # type: ignore[arg-type]
    ended = await end_all(lanes)
    await lanes.redis.set(KEYS.result + ended[0], b"\xc1")

    page, results = await batch.page(), batch.results()
    read = [result async for result in results]

    assert sorted(result.job_id for result in read) == sorted(ended)
    assert page.results == read
    assert (page.malformed, results.malformed) == (4, 4)
    first = await batch.page(limit=2)
    assert (first.results, first.malformed, first.complete) == ([], 2, False)
    assert len((await batch.page(after=first.cursor)).results) == 2


@pytest.mark.parametrize(
    ("member", "score"), [(NO_TEXT, "1"), (b"x:y " + NO_TEXT, "1"), (b"x", "1"), (b"x:y z", "inf")]
)
async def test_an_odd_dead_letter_hides_no_other(producer: Producer, lanes: Lanes, member: bytes, score: str) -> None:
    """It is counted when dead letters are listed or replayed."""
    await lanes.submit(("j1", change(USER)))
    await end_all(lanes, Outcome.REJECTED)
    await lanes.redis.zadd(f"{KEYS.dead_letters}rejected", {member: float(score)})

    listing = producer.dead.list()

    assert [letter.job_id async for letter in listing] == ["j1"]
    assert listing.malformed == 1
    assert (await producer.dead.get("j1")).job_id == "j1"
    report = await producer.dead.replay(everything=True)
    assert ([old for old, _ in report.replayed], report.malformed) == (["j1"], 1)


@pytest.mark.parametrize(
    "spoil",
    [
        put("HSET", KEYS.counts, NO_TEXT, "1"),
        *(put("HSET", KEYS.counts, "applied", value) for value in NO_NUMBERS),
        put("SADD", KEYS.egresses, NO_TEXT),
        put("HSET", KEYS.egress + "odd", "reason", NO_TEXT),
        odd_user,
        put("SET", f"{KEYS.worker}{ODD_WORKER}", b"\xc1"),
    ],
)
async def test_an_odd_entry_hides_nothing_else_of_the_overview(producer: Producer, lanes: Lanes, spoil: Spoil) -> None:
    """The lane that is due is shown, and the rejected change is counted."""
    await lanes.submit(("j1", change("2")))
    await end_all(lanes, Outcome.REJECTED)
    await lanes.submit(("j2", change(USER)))
    await lanes.redis.sadd(KEYS.egresses, "odd")  # type: ignore[misc]
    await lanes.redis.hset(KEYS.egress + "odd", "tat", "1")  # type: ignore[misc]
    await lanes.redis.zadd(KEYS.workers, {ODD_WORKER: 9999999999999})
    await lanes.redis.hset(KEYS.sessions, "s1", "0 9999999999999 1000 0 0 0")  # type: ignore[misc]
    await spoil(lanes.redis)  # type: ignore[arg-type]

    overview = await producer.overview()

    assert [lane.user_id for lane in overview.next_lanes] == [USER]
    assert overview.outcomes["rejected"] == 1
    assert overview.malformed == 1

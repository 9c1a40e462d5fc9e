"""A Redis whose memory is full refuses changes as a whole, and is still drained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from ops.keys import KEYS
from producers import Cancellation, Outcome, Producer, ProducerError
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.support.changes import change, numbered
from tests.support.contents import contents
from tests.support.lanes import Lanes
from tests.support.redis_servers import new_server, on_every_server
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, rig_on
from worker.queue.session import Session

pytestmark = on_every_server


@pytest.fixture
async def full(binary: str | None, tmp_path: Path) -> AsyncIterator[ArqRedis]:
    """A server of its own, which the test fills."""
    with new_server(tmp_path, binary) as server:
        client = open_redis(server.dsn, ArqRedis, timeout_s=5)
        yield client
        await client.aclose()


async def fill(redis: ArqRedis) -> None:
    """Let the memory in use be more than there may be."""
    await redis.config_set("maxmemory", "1")


async def end_session(redis: ArqRedis, session: Session) -> None:
    """Mark a session as dead, as a renewal of another one does when it has lapsed; its lanes are not taken back yet."""
    row = (await redis.hget(KEYS.sessions, session.session_id)).decode().split()  # type: ignore[misc]
    await redis.hset(KEYS.sessions, session.session_id, " ".join([*row[:-1], "1"]))  # type: ignore[misc]


@pytest.mark.parametrize(
    "what", ["settle", "fail", "give back", "claim", "open", "renew", "take back", "resume", "cancel", "cancel batch"]
)
async def test_a_full_redis_is_drained(full: ArqRedis, what: str) -> None:
    """`maxmemory` is reached right before the script, which runs as a whole."""
    lanes, producer = Lanes(full), Producer(full)
    batch = await producer.fan_out([change("1001"), change("1002")], batch_id="b")
    await producer.enqueue_many(numbered(3, "1003"))
    await producer.pause(trader_id="t7")
    await producer.enqueue(change("1009", "t7"))
    claims = await lanes.claim(100 if what == "resume" else 2)
    claim = next(claim for claim in claims if claim.job_id.startswith("b.."))
    session = lanes.claimer.session
    trusted_until_s = session.trusted_until_s(session.session_id)
    if what == "take back":
        await end_session(full, session)
    actions: dict[str, Any] = {
        "settle": lambda: lanes.done(claim),
        "fail": lambda: lanes.done(claim, Outcome.REJECTED),
        "give back": lambda: lanes.back(claim),
        "claim": lambda: lanes.claim(2),
        "open": lanes.new_claimer().session.renew,
        "renew": session.renew,
        "take back": lanes.new_claimer().session.renew,
        "resume": lambda: producer.resume(trader_id="t7"),
        "cancel": lambda: producer.cancel_user("1003"),
        "cancel batch": batch.cancel,
    }
    await fill(full)
    async with asyncio.timeout(30):  # a settlement that is refused is tried for ever
        done = await actions[what]()
    counts = await full.hgetall(KEYS.counts)  # type: ignore[misc]

    assert await lanes.uncovered() == set()
    match what:
        case "settle" | "fail":
            assert done.finished == 1
            assert await full.xlen(KEYS.batch_results + "b") == 1
            assert counts == {b"applied" if what == "settle" else b"rejected": b"1"}
        case "give back":
            assert not done.fenced
        case "claim":
            assert len(done) == 1
        case "renew":
            assert session.trusted_until_s(session.session_id) > trusted_until_s
        case "open":
            assert await full.hlen(KEYS.sessions) == 3  # type: ignore[misc]
        case "take back":
            assert not await lanes.is_held(claim)
        case "resume":
            assert [each.lane for each in await lanes.claim()] == ["1009:t7"]
        case _:
            assert int(counts[b"cancelled"]) == done.cancelled > 0
    await producer.close()


@ARQ_CLOSES_OLD_STYLE
async def test_a_worker_on_a_full_redis_drains_it(full: ArqRedis, tmp_path: Path) -> None:
    """It has more changes than slots, and is announced; its health key is written."""
    async with rig_on(full, tmp_path) as rig:
        jobs = (await rig.producer.enqueue_many([change(user, trader) for user in USERS for trader in "abc"])).jobs
        await fill(full)
        async with rig.working(max_jobs=2, health_interval_s=0.2) as worker:
            results = [await job.result(timeout=20) for job in jobs]
            while not await full.exists(worker.health_check_key):  # noqa: ASYNC110 - it is written every 0.2 s
                await asyncio.sleep(0.05)
            assert await full.zcard(KEYS.workers) == 1

    assert all(result.applied for result in results)


@pytest.mark.parametrize("what", ["submit", "fan out", "replay"])
async def test_a_full_redis_refuses_changes_as_a_whole(full: ArqRedis, what: str) -> None:
    """Half a script would lose or double a change."""
    lanes, producer = Lanes(full), Producer(full)
    await producer.enqueue_many(numbered(2))
    await lanes.done(await lanes.claim_one(), Outcome.REJECTED)
    actions: dict[str, Any] = {
        "submit": lambda: producer.enqueue(change("1004")),
        "fan out": lambda: producer.fan_out([change("1005")], batch_id="c"),
        "replay": lambda: producer.dead.replay(everything=True),
    }
    before = await contents(full)
    await fill(full)
    with pytest.raises((RedisError, ProducerError)):
        await actions[what]()

    assert await contents(full) == before


async def test_a_full_redis_is_read_and_operated(full: ArqRedis) -> None:
    """Results, pauses, limits and dead letters, by both kinds of producers."""
    lanes, producer = Lanes(full), Producer(full)
    jobs = (await producer.enqueue_many([change("1001"), change("1002"), change("1003")])).jobs
    claims = {claim.job_id: claim for claim in await lanes.claim(2)}
    await lanes.done(claims[jobs[0].job_id])
    await lanes.done(claims[jobs[1].job_id], Outcome.REJECTED)
    await fill(full)

    assert (await jobs[0].result(timeout=30)).applied
    assert await producer.pause(user_id="1003")
    assert [pause.name for pause in await producer.paused()] == ["1003"]
    assert await producer.resume(user_id="1003")
    await producer.limit_user("1003", 2.0)
    assert (await producer.user_status("1003")).rate_per_s == 2.0
    assert [letter.job_id async for letter in producer.dead.list()] == [jobs[1].job_id]
    assert await producer.dead.drop(jobs[1].job_id) == 1
    assert await jobs[2].cancel() is Cancellation.CANCELLED
    with PlainProducer.connect(f"redis://127.0.0.1:{full.connection_pool.connection_kwargs['port']}/0") as plain:
        assert plain.job(jobs[0].job_id).result(timeout=30).applied
        assert plain.pause(everything=True)
        assert plain.user_status("1003").lanes == []
    await producer.close()

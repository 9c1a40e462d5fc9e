"""Replaying dead letters: once, in the order of their lanes; one, or a selection."""

from __future__ import annotations

import asyncio

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Outcome, Producer, ProducerSettings
from producers.contract import keyspace
from producers.queue.finish import DEAD_OUTCOMES
from tests.support.changes import TRADER, change, numbered, result
from tests.support.dead_letters import LANE, REJECTED, listed, sent_values, some_dead
from tests.support.fan_outs import end_all
from tests.support.lanes import Lanes
from worker.queue.claims import Finish


async def test_replayed_changes_are_queued_in_the_order_of_their_lane(producer: Producer, lanes: Lanes) -> None:
    """Over outcomes; each under an ID that follows from the old one."""
    report = await producer.enqueue_many(numbered(5))
    for number in range(5):
        await lanes.done(await lanes.claim_one(), DEAD_OUTCOMES[-number % 3])

    replayed = await producer.dead.replay(everything=True)

    assert [old for old, _ in replayed.replayed] == [job.job_id for job in report.jobs]
    assert replayed.refused == []
    assert await lanes.queued(LANE) == [new for _, new in replayed.replayed]
    assert await listed(producer) == []
    assert await sent_values(lanes) == ["1", "2", "3", "4", "5"]
    assert (await producer.job(replayed.replayed[0][1]).result(timeout=0)).applied
    assert await lanes.uncovered() == set()


async def test_a_group_that_died_together_is_replayed_in_its_order(producer: Producer, lanes: Lanes) -> None:
    """Though all of it ended in the same microsecond; superseded changes are not replayed."""
    await lanes.submit(*((name, change()) for name in "dcba"), coalesce=True)
    head = await lanes.claim_one()
    outcomes = (REJECTED, Outcome.SUPERSEDED, REJECTED, REJECTED)
    results = tuple(result(name, outcome) for name, outcome in zip("dcba", outcomes, strict=True))
    await lanes.settler.settle(Finish(claim=head, results=results))

    replayed = await producer.dead.replay(everything=True)

    assert [old for old, _ in replayed.replayed] == ["d", "b", "a"]
    assert await lanes.queued(LANE) == [new for _, new in replayed.replayed]


async def test_a_single_letter_is_replayed_as_interactive_and_a_selection_as_bulk(
    producer: Producer, lanes: Lanes
) -> None:
    """A person waits for one change; many must not delay others."""
    await some_dead(producer, lanes)

    await producer.dead.replay("b")
    await producer.dead.replay(outcome=REJECTED)

    assert not await lanes.on_bulk(keyspace.lane("1002", TRADER))
    assert await lanes.on_bulk(LANE)
    assert await lanes.uncovered() == set()


async def test_replaying_twice_at_once_adds_each_change_once(producer: Producer, lanes: Lanes) -> None:
    """Also after the letters came back because a replay was interrupted."""
    report = await producer.enqueue_many(numbered(20))
    for _ in range(20):
        await lanes.done(await lanes.claim_one(), REJECTED)
    dead = {name: await lanes.redis.dump(name) for name in await lanes.redis.keys("copytrade:letter:*")}
    index = await lanes.redis.zrange(KEYS.dead_letters + REJECTED, 0, -1, withscores=True)

    await asyncio.gather(*(producer.dead.replay(everything=True) for _ in range(3)))
    assert len(await lanes.queued(LANE)) == len(report.jobs)
    for name, value in dead.items():
        await lanes.redis.restore(name, 0, value or b"")
    await lanes.redis.zadd(KEYS.dead_letters + REJECTED, dict(index))
    await producer.dead.replay(everything=True)

    assert len(await lanes.queued(LANE)) == len(report.jobs)
    assert (await producer.dead.replay(everything=True)).replayed == []
    assert await listed(producer) == []


async def test_a_change_that_dies_again_can_be_replayed_again(producer: Producer, lanes: Lanes) -> None:
    """Each time under an ID of its own."""
    await producer.enqueue(change(), job_id="j")
    ids = ["j"]
    for _ in range(4):
        await lanes.done(await lanes.claim_one(), REJECTED)
        ((old, new),) = (await producer.dead.replay(everything=True)).replayed
        assert old == ids[-1]
        ids.append(new)

    assert len(set(ids)) == 5
    assert all(len(each) < 20 + len("j") for each in ids)


async def test_a_second_letter_of_a_reused_id_is_replayed(producer: Producer, lanes: Lanes) -> None:
    """An app may use an ID again when its result has expired."""
    sent = []
    for night in ("1", "2"):
        await producer.enqueue(change(value=night), job_id="nightly")
        await lanes.done(await lanes.claim_one(), REJECTED)
        assert len((await producer.dead.replay(everything=True)).replayed) == 1
        sent += await sent_values(lanes)
        await lanes.redis.delete(KEYS.result + "nightly")

    assert sent == ["1", "2"]


@pytest.mark.parametrize(
    ("one", "other"), [("july//1001", "july/1001"), ("july//1001", "july~1001"), ("a//b/c", "a/b//c")]
)
async def test_letters_with_similar_ids_are_both_replayed(
    producer: Producer, lanes: Lanes, one: str, other: str
) -> None:
    """Their replay IDs must not collide, or one change would be lost."""
    for job_id, user in ((one, "1"), (other, "2")):
        await lanes.submit((job_id, change(user)))
    await end_all(lanes, REJECTED)

    await producer.dead.replay(everything=True)

    assert len(await end_all(lanes)) == 2


@pytest.mark.parametrize("job_id", ["x" * 126, "x" * 127, "x" * 128, "b" * 64 + "//" + "u" * 62])
async def test_a_change_with_a_long_id_can_be_replayed(producer: Producer, lanes: Lanes, job_id: str) -> None:
    """Twice in a row, with IDs up to the limit of 128 characters."""
    await lanes.submit((job_id, change()))
    for _ in range(2):
        await lanes.done(await lanes.claim_one(), REJECTED)
        report = await producer.dead.replay(everything=True)
        assert (len(report.replayed), report.refused) == (1, [])

    assert len(await end_all(lanes)) == 1


async def test_a_full_lane_refuses_a_replay_and_keeps_the_letter(redis: ArqRedis) -> None:
    """Two of three fit; the third stays in the list of dead letters."""
    producer, lanes = Producer(redis, ProducerSettings(lane_limit=2)), Lanes(redis)
    for number in range(3):
        await producer.enqueue(change(value=str(number + 1)), job_id=f"j{number}")
        await lanes.done(await lanes.claim_one(), REJECTED)

    report = await producer.dead.replay(everything=True)

    assert [old for old, _ in report.replayed] == ["j0", "j1"]
    assert [old for old, why in report.refused if "holds 2 changes" in why] == ["j2"]
    assert await listed(producer) == ["j2"]

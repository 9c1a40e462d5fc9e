"""Dead letters: failed changes are kept with their payload, can be selected, and expire."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import DeadLetter, DeadLetterNotFound, Outcome, Producer
from producers.contract.codec import MAX_PAYLOAD_BYTES
from producers.queue.finish import DEAD_OUTCOMES
from tests.support.changes import TRADER, change, numbered
from tests.support.contents import contents
from tests.support.dead_letters import EXHAUSTED, LANE, REJECTED, UNAUTHORIZED, listed, some_dead
from tests.support.fan_outs import end_all
from tests.support.lanes import DEFAULTS, Lanes
from worker.settings import WorkerSettings


@pytest.mark.parametrize("outcome", Outcome)
async def test_rejected_unauthorized_and_exhausted_changes_become_dead_letters(
    producer: Producer, lanes: Lanes, outcome: Outcome
) -> None:
    """For a week, longer than their results. The payloads of other changes are deleted."""
    await producer.enqueue(change(value="7"), job_id="j1")
    await lanes.done(await lanes.claim_one(), outcome)

    assert await listed(producer) == (["j1"] if outcome in DEAD_OUTCOMES else [])
    assert not await lanes.redis.exists(KEYS.job + "j1")
    counts = await producer.dead.counts()
    assert counts == {each: int(each is outcome) for each in DEAD_OUTCOMES}
    if outcome in DEAD_OUTCOMES:
        assert await lanes.redis.pttl(KEYS.dead_letter + "j1") == pytest.approx(
            DEFAULTS.dead_letter_ttl_s * 1000, abs=60_000
        )


async def test_a_dead_letter_has_its_change_its_result_and_when_and_why_it_ended(
    producer: Producer, lanes: Lanes
) -> None:
    """Once the result has expired, the letter still has its change."""
    await producer.enqueue(change("a:b", value="7"), job_id="j1")
    await lanes.attempt(await lanes.claim_one(), "permanent", code="40017", message="no")

    letter = await producer.dead.get("j1")
    ended = await producer.job("j1").result(timeout=0)
    asked = change("a:b", value="7")
    assert letter == DeadLetter(
        "j1", "a:b", TRADER, REJECTED, letter.ended_at_ms, asked, ended, replay_id=letter.replay_id
    )
    assert letter.ended_at_ms == pytest.approx(await lanes.now_ms(), abs=30_000)
    assert ended.code == "40017"
    await lanes.redis.delete(KEYS.result + "j1")
    later = await producer.dead.get("j1")
    assert (later.result, later.change) == (None, letter.change)


async def test_dead_letters_are_selected_by_every_given_filter(producer: Producer, lanes: Lanes) -> None:
    """By outcome, user, batch or ID; oldest first."""
    await some_dead(producer, lanes)

    everything = [letter async for letter in producer.dead.list()]
    assert sorted(letter.job_id for letter in everything) == ["a1", "a2", "b", "july..1001", "july..1002", "july..1003"]
    assert [letter.ended_at_ms for letter in everything] == sorted(letter.ended_at_ms for letter in everything)
    assert sorted(await listed(producer, outcome=REJECTED)) == ["a1", "july..1001", "july..1002", "july..1003"]
    assert await listed(producer, user_id="1002", outcome=UNAUTHORIZED) == ["b"]
    assert sorted(await listed(producer, user_id="1001")) == ["a1", "a2", "july..1001"]
    assert sorted(await listed(producer, batch_id="july")) == ["july..1001", "july..1002", "july..1003"]
    assert await listed(producer, batch_id="july", user_id="1003") == ["july..1003"]
    assert await listed(producer, batch_id="jul") == []
    assert (await producer.dead.counts()) == {REJECTED: 4, UNAUTHORIZED: 1, EXHAUSTED: 1}


async def test_a_malformed_dead_letter_is_listed_and_can_be_dropped_but_not_replayed(
    producer: Producer, lanes: Lanes
) -> None:
    """A replay of everything reports it and still replays the others."""
    await producer.enqueue_many(numbered(2), job_id=lambda each: f"j{each.settings[0].trace_value}")
    await lanes.redis.set(KEYS.job + "j1", b"\xc1 no change")
    await lanes.attempt(await lanes.claim_one())
    await lanes.done(await lanes.claim_one(), REJECTED)

    assert (await producer.dead.get("j1")).change is None
    assert (await producer.dead.get("j1")).user_id == "1001"
    report = await producer.dead.replay(everything=True)
    assert [old for old, _ in report.replayed] == ["j2"]
    assert report.refused == [("j1", "its payload cannot be read; drop it")]
    assert await producer.dead.drop("j1") == 1
    assert await listed(producer) == []


@pytest.mark.parametrize("payload", [None, b"x" * (MAX_PAYLOAD_BYTES + 1)], ids=["absent", "too large"])
async def test_a_change_without_a_payload_leaves_no_dead_letter(
    producer: Producer, lanes: Lanes, payload: bytes | None
) -> None:
    """An absent or too large payload ends rejected; there is nothing to replay."""
    await producer.enqueue(change(), job_id="j1")
    await (lanes.redis.set(KEYS.job + "j1", payload) if payload else lanes.redis.delete(KEYS.job + "j1"))

    await lanes.attempt(await lanes.claim_one())

    assert (await producer.job("j1").result(timeout=0)).outcome is REJECTED
    assert await listed(producer) == []
    assert await lanes.redis.exists(KEYS.job + "j1", KEYS.dead_letter + "j1", KEYS.dead_letters + REJECTED) == 0


async def test_dead_letters_are_dropped_by_filter(producer: Producer, lanes: Lanes) -> None:
    """Filters combine; dropping everything leaves no key of dead letters."""
    await some_dead(producer, lanes)

    assert await producer.dead.drop(batch_id="july", user_id="1001") == 1
    assert await producer.dead.drop(outcome=REJECTED) == 3
    assert await producer.dead.drop(user_id="nobody") == 0
    assert sorted(await listed(producer)) == ["a2", "b"]
    assert await producer.dead.drop(everything=True) == 2

    assert [key for key in await contents(lanes.redis) if "letter" in key or "dead" in key] == []


async def test_an_unknown_dead_letter_is_not_found(producer: Producer) -> None:
    """The message lists the possible causes."""
    for ask in (producer.dead.get, producer.dead.replay, producer.dead.drop):
        with pytest.raises(DeadLetterNotFound, match="no dead letter j1: it did not end badly, was replayed or"):
            await ask("j1")


async def test_expired_dead_letters_leave_the_index(redis: ArqRedis) -> None:
    """When letters are listed, and when another change dies."""
    lanes = Lanes(redis, settings=WorkerSettings(dead_letter_ttl_s=30))
    producer = Producer(redis)
    await lanes.submit(("old", change("1")), ("older", change("2")))
    await end_all(lanes, REJECTED)
    assert 0 < await redis.pttl(KEYS.dead_letter + "old") <= 30_000
    await redis.delete(KEYS.dead_letter + "old", KEYS.dead_letter + "older")

    assert await producer.dead.counts() == {REJECTED: 2, UNAUTHORIZED: 0, EXHAUSTED: 0}
    assert await listed(producer) == []
    assert (await producer.dead.counts())[REJECTED] == 0
    await redis.zadd(KEYS.dead_letters + REJECTED, {f"{LANE} gone": 1})
    await Lanes(redis).submit(("new", change()))
    await end_all(Lanes(redis), REJECTED)
    assert await redis.zrange(KEYS.dead_letters + REJECTED, 0, -1) == [f"{LANE} new".encode()]


async def test_replaying_or_dropping_all_letters_needs_everything_true(producer: Producer) -> None:
    """A filter that turns out to be None must not select all."""
    for method in (producer.dead.replay, producer.dead.drop):
        with pytest.raises(TypeError, match="everything=True"):
            await method(user_id=None)
        with pytest.raises(TypeError, match="everything=True"):
            await method("j", everything=True)

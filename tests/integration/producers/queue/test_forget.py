"""Deleting all that is kept of one user."""

from __future__ import annotations

from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import InvalidId, Outcome, Producer, Progress
from producers.contract.access_keys import Scope
from producers.contract.codec import serialize
from producers.queue.forget import forget_user
from producers.transport.runner import fetch_reply
from tests.support.changes import change
from tests.support.contents import contents
from tests.support.fan_outs import read_all, to_users
from tests.support.lanes import Lanes

USER = "4711:0815%"
"""A user whose ID looks different in keys and is in no other text."""
SHOWN = ("4711:0815%", "4711%3A0815%25")


async def where_named(redis: ArqRedis) -> set[str]:
    """Return the keys that name the user."""
    found: dict[str, Any] = await contents(redis)
    return {name for name, held in found.items() if any(shown in f"{name} {held!r}" for shown in SHOWN)}


async def leave_traces(producer: Producer, lanes: Lanes, redis: ArqRedis) -> None:
    """Leave all kinds of traces of the user and of others."""
    await producer.enqueue(change("other"), job_id="theirs")
    for user in ("other", USER):
        await to_users(producer, [user, f"beside.{len(user)}"], f"of.{len(user)}")
        await producer.enqueue(change(user, "t2"), job_id=f"added-{user}", batch_id="open")
    while claims := await lanes.claim():
        for claim in claims:
            outcome = Outcome.REJECTED if claim.job_id.startswith("open") else Outcome.APPLIED
            user, _, trader = claim.lane.partition(":")
            user_id = USER if user == SHOWN[1] else user
            await lanes.done(claim, outcome, user_id=user_id, trader_id=trader)
    await to_users(producer, [USER], "tried")
    await lanes.back(await lanes.claim_one(), delay_s=60, replied=False)
    await redis.set(KEYS.result + "asked", serialize({"f": "submit", "a": [{"userId": USER}], "r": {"jobId": "x"}}))
    await redis.set(KEYS.result + "foreign", b"\x80\x04 of another app: " + USER.encode())
    await producer.access_keys.add("one", [Scope.READ], user_ids=[USER])
    await producer.pin_user(USER, "east")
    await redis.hset(KEYS.rejected_keys, "4711%3A0815%25", "0123 40037 1")  # type: ignore[misc]
    await redis.hset(KEYS.credentials, USER, "sealed")  # type: ignore[misc]
    await redis.hset(KEYS.credentials, "other", "sealed")  # type: ignore[misc]
    await producer.limit_user(USER, 5)
    await producer.limit_user("other", 5)
    await producer.pause(user_id=USER)
    for number in range(3):
        await producer.enqueue(change(USER, f"t{number}"), job_id=f"q{number}")


async def test_nothing_of_a_user_is_left_but_what_expires_by_itself(
    producer: Producer, lanes: Lanes, redis: ArqRedis
) -> None:
    """All keys are searched for its ID. The bucket stays for a minute, and an access key until it is revoked."""
    await leave_traces(producer, lanes, redis)

    report = await producer.forget_user(USER)

    assert await where_named(redis) == {KEYS.bucket_of(SHOWN[1]), KEYS.gateway_keys, KEYS.result + "foreign"}
    assert (report.complete, report.cancelled, report.in_flight) == (True, 4, 0)
    assert (report.results, report.dead_letters, report.batch_entries) == (7, 1, 6)
    assert report.settings == ["rate", "pause", "pin", "rejected_keys", "credentials"]
    assert not await redis.exists(KEYS.pinned), "it is no longer counted as pinned"
    (key,) = await producer.access_keys.list()
    assert report.access_keys == [key.key_id]
    assert 0 < report.bucket_expires_in_s <= 60


async def test_a_deletion_that_is_cut_off_at_any_step_is_completed_by_the_next(
    producer: Producer, lanes: Lanes, redis: ArqRedis
) -> None:
    """Each call makes one step more than the one before, until one comes to its end."""
    await leave_traces(producer, lanes, redis)
    steps_made = 0
    while not await made_in(redis, steps_made):
        steps_made += 1

    assert steps_made > 10
    assert await where_named(redis) == {KEYS.bucket_of(SHOWN[1]), KEYS.gateway_keys, KEYS.result + "foreign"}


async def made_in(redis: ArqRedis, steps: int) -> bool:
    """Begin to delete what is kept of the user, and stop after some steps; return whether that was all."""
    plan = forget_user(KEYS, USER, result_ttl_ms=60_000)
    reply: Any = None
    for _ in range(steps):
        try:
            step = plan.send(reply)
        except StopIteration:
            return True
        reply = await fetch_reply(redis, step)
    plan.close()
    return False


async def test_what_belongs_to_others_stays(producer: Producer, lanes: Lanes, redis: ArqRedis) -> None:
    """Results, dead letters, rates and credentials; counters of shared batches, and the estimate of their end."""
    await leave_traces(producer, lanes, redis)
    third = await to_users(producer, [USER, "third"], "waits")
    await producer.resume(user_id=USER)

    await producer.forget_user(USER)

    assert (await producer.job("theirs").result(timeout=0)).applied
    assert await redis.hkeys(KEYS.credentials) == [b"other"]  # type: ignore[misc]
    assert (await producer.user_status("other")).rate_per_s == 5
    assert [letter.job_id async for letter in producer.dead.list()] == ["open..added-other"]
    assert await read_all(producer.batch(f"of.{len(USER)}").results()) == [f"of.{len(USER)}..beside.{len(USER)}"]
    progress: Progress = await third.progress()
    assert (progress.total, progress.queued, progress.outcomes) == (2, 1, {Outcome.CANCELLED: 1})
    assert await lanes.uncovered() == set()


async def test_a_user_with_a_change_in_flight_keeps_what_that_needs(
    producer: Producer, lanes: Lanes, redis: ArqRedis
) -> None:
    """Its queued changes are cancelled. When the change has ended, the call deletes the rest; a third one, nothing."""
    await lanes.submit(("held", change(USER)), ("behind", change(USER)))
    held = await lanes.claim_one()
    await producer.limit_user(USER, 5)

    first = await producer.forget_user(USER)
    assert (first.complete, first.cancelled, first.in_flight, first.settings) == (False, 1, 1, [])
    assert (await producer.user_status(USER)).rate_per_s == 5
    await lanes.done(held, user_id=USER)
    second, third = await producer.forget_user(USER), await producer.forget_user(USER)

    assert (second.complete, second.cancelled, second.results, second.settings) == (True, 0, 2, ["rate"])
    assert (third.complete, third.results, third.settings) == (True, 0, [])
    assert await where_named(redis) <= {KEYS.bucket_of(SHOWN[1])}


async def test_a_user_id_that_is_also_a_number_in_a_batch_takes_no_entry_of_others(
    producer: Producer, lanes: Lanes
) -> None:
    """Changes without a template are numbered in their batch."""
    batch = await producer.fan_out([change("7"), change("1"), change("0")], batch_id="numbers")
    for claim in await lanes.claim():
        await lanes.done(claim, user_id=claim.lane.partition(":")[0])

    report = await producer.forget_user("0")

    assert (report.results, report.batch_entries) == (1, 1)
    assert sorted(await read_all(batch.results())) == ["numbers..0", "numbers..1"]


async def test_an_unknown_user_leaves_everything_as_it_is(producer: Producer, redis: ArqRedis) -> None:
    """A malformed ID is rejected."""
    await producer.enqueue(change("other"))
    before = await contents(redis)

    report = await producer.forget_user("nobody")

    assert (report.complete, report.results, report.batch_entries, report.settings) == (True, 0, 0, [])
    assert await contents(redis) == before
    with pytest.raises(InvalidId):
        await producer.forget_user("a b")

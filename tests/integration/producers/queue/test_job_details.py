"""All that is known of a change: what it sets, its attempts so far, its deadline; until and after its end."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers import JobDetails, JobState, Outcome, Priority, Producer, SettingsChange
from producers.transport.pipeline import AnyIterable
from tests.support.changes import change, setting
from tests.support.fan_outs import failing_after, to_users
from tests.support.lanes import Lanes

CHANGE = SettingsChange(user_id="1001", trader_id="t1", auto_copy="on", mode="basic", settings=[setting()])


async def test_a_queued_change_has_what_it_sets_and_its_deadline(producer: Producer) -> None:
    """With its own priority, although that of its lane may be another."""
    await producer.enqueue(change())
    job = await producer.enqueue(CHANGE, ttl_s=60, priority=Priority.BULK)

    details = await job.details()

    assert (details.job_id, details.change, details.attempts) == (job.job_id, CHANGE, [])
    assert (details.status.state, details.status.position) == (JobState.QUEUED, 1)
    assert details.status.wait is not None
    assert (details.priority, details.batch_id) == (Priority.BULK, None)
    assert details.enqueued_at_ms is not None
    assert details.expires_at_ms == details.enqueued_at_ms + 60_000


async def test_a_change_that_has_not_ended_has_its_attempts_so_far(producer: Producer, lanes: Lanes) -> None:
    """While it waits for the next and while that is in flight; those of the change before it are not its own."""
    first, second = [await producer.enqueue(change(value=value)) for value in "12"]
    await lanes.attempt(await lanes.claim_one(), "transient", code="40015", message="busy")
    await lanes.due_now("1001:t1")
    waiting = await first.details()
    claim = await lanes.claim_one()
    in_flight = await first.details()
    behind = await second.details()
    await lanes.attempt(claim)

    assert waiting.status.state is JobState.QUEUED
    assert in_flight.status.state is JobState.IN_FLIGHT
    assert [(each.verdict, each.code, each.message) for each in waiting.attempts] == [("transient", "40015", "busy")]
    assert in_flight.attempts == waiting.attempts
    assert behind.attempts == (await second.details()).attempts == []
    assert [attempt.verdict for attempt in (await first.details()).attempts] == ["transient", "success"]


async def test_a_change_that_was_sent_with_the_one_before_it_has_that_attempt(producer: Producer, lanes: Lanes) -> None:
    """It is not the head of its lane."""
    jobs = [await producer.enqueue(change(value=value), coalesce=True) for value in "12"]
    jobs.append(await producer.enqueue(change(value="3")))
    await lanes.attempt(await lanes.claim_one(), "transient")

    assert [len((await job.details()).attempts) for job in jobs] == [1, 1, 0]


async def test_a_change_of_a_template_has_the_deadline_of_its_run(
    producer: Producer, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And after its end what it set, as long as its batch is known."""
    monkeypatch.setattr("producers.queue.chunks.CHUNK_SIZE", 1)
    template = CHANGE.settings

    async def run(user_ids: AnyIterable[str], ttl_s: float) -> None:
        await producer.fan_out(
            trader_id="t1", settings=template, user_ids=user_ids, batch_id="b", mode="basic", ttl_s=ttl_s
        )

    with pytest.raises(LookupError):
        await run(failing_after(["1", "2"], 1), 60)
    await run(["1", "2"], 600)
    first, second = [await producer.job(f"b..{user}").details() for user in "12"]
    for claim in await lanes.claim():
        await lanes.attempt(claim)
    ended = await producer.job("b..2").details()

    lifetimes = [(each.expires_at_ms or 0) - (each.enqueued_at_ms or 0) for each in (first, second)]
    expected = SettingsChange(user_id="2", trader_id="t1", mode="basic", settings=template)
    assert lifetimes == [60_000, 600_000]
    assert (second.change, ended.change) == (expected, expected)
    assert (second.priority, second.batch_id) == (Priority.BULK, "b")
    assert (ended.status.state, ended.enqueued_at_ms) == (JobState.DONE, second.enqueued_at_ms)


@pytest.mark.parametrize(("verdict", "whole"), [("success", False), ("permanent", True)])
async def test_an_ended_change_has_what_is_left_of_it(
    producer: Producer, lanes: Lanes, verdict: str, whole: bool
) -> None:
    """A result keeps the settings alone, a dead letter all of it."""
    job = await producer.enqueue(CHANGE, ttl_s=60)
    await lanes.attempt(await lanes.claim_one(), verdict, code="1")

    details = await job.details()

    assert details.status.result is not None
    assert details.attempts == details.status.result.attempts
    assert details.change is not None
    assert details.change.settings == CHANGE.settings
    assert (details.change == CHANGE, details.expires_at_ms is not None, details.priority is not None) == (whole,) * 3
    assert details.enqueued_at_ms == details.status.result.enqueued_at_ms


async def test_a_change_that_cannot_be_read_has_its_status_only(producer: Producer, lanes: Lanes) -> None:
    """Queued with a malformed payload, or ended without what it set; so has one that is not there."""
    await lanes.redis.set(KEYS.job + "odd", b"\xc1")
    job = await producer.enqueue(change())
    await lanes.done(await lanes.claim_one(), Outcome.APPLIED)

    odd, ended = await producer.job("odd").details(), await job.details()

    assert (odd.status.state, odd.change, odd.attempts) == (JobState.QUEUED, None, [])
    assert (ended.status.state, ended.change) == (JobState.DONE, None)
    nobody = await producer.job("nobody").details()
    assert nobody == JobDetails("nobody", nobody.status)
    assert nobody.status.state is JobState.NOT_FOUND


async def test_odd_terms_of_a_run_hide_nothing_else(producer: Producer, lanes: Lanes) -> None:
    """The status of the change stays readable."""
    await to_users(producer, ["1"], "b")
    await lanes.redis.hset(KEYS.batch + "b", "runs", b"\xff,seven")  # type: ignore[arg-type,misc]

    details = await producer.job("b..1").details()

    assert (details.status.state, details.change) == (JobState.QUEUED, None)

"""Coalesced changes that are sent again: rejected, throttled, lost with their worker, partly cancelled."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers import Cancellation, Outcome, Producer
from tests.support.changes import change
from tests.support.coalescing import LANE, joining, of, pair, results, sent
from tests.support.lanes import Lanes
from tests.support.manual_clock import ManualClock


async def test_a_rejected_group_is_sent_one_by_one_and_only_the_faulty_change_is_rejected(
    producer: Producer, lanes: Lanes
) -> None:
    """A replaced change is sent too: its successor may be the faulty one."""
    jobs = await joining(producer, of(pair("A", "1")), of(pair("BAD")), of(pair("A", "2")), of(pair("C")))
    claim = await lanes.claim_one()
    assert len(sent(claim)) == 3
    await lanes.attempt(claim, "permanent", code="40017")
    assert await lanes.uncovered() == set()

    alone = []
    async for claim in lanes.heads():
        alone.append(sent(claim))
        await lanes.attempt(claim, "permanent" if "BAD" in alone[-1] else "success")

    assert alone == [{"A": "1"}, {"BAD": "1"}, {"A": "2"}, {"C": "1"}]
    outcomes = [each.outcome for each in await results(jobs)]
    assert outcomes == [Outcome.APPLIED, Outcome.REJECTED, Outcome.APPLIED, Outcome.APPLIED]
    assert await lanes.redis.exists(KEYS.attempts + LANE) == 0


async def test_new_changes_wait_behind_a_group_that_is_sent_one_by_one_and_are_coalesced_after_it(
    producer: Producer, lanes: Lanes
) -> None:
    """A and B were rejected together and go alone; C and D form the next group."""
    await joining(producer, of(pair("A")), of(pair("B")))
    await lanes.attempt(await lanes.claim_one(), "permanent")
    for symbol in "CD":
        await producer.enqueue(of(pair(symbol)), coalesce=True)

    groups = []
    async for claim in lanes.heads():
        groups.append("".join(sent(claim)))
        await lanes.attempt(claim)

    assert groups == ["A", "B", "CD"]


@pytest.mark.parametrize("taken_back", [["j2"], ["j2", "j1"], ["j0"], ["j1"], ["j0", "j1", "j2"]])
async def test_after_cancelling_members_of_a_rejected_group_the_others_are_still_sent_one_by_one(
    producer: Producer, lanes: Lanes, taken_back: list[str]
) -> None:
    """New changes are coalesced with each other as before."""
    await joining(producer, of(pair("A")), of(pair("B")), of(pair("C")))
    await lanes.attempt(await lanes.claim_one(), "permanent")
    for symbol in "XY":
        await producer.enqueue(of(pair(symbol)), coalesce=True)
    for job_id in taken_back:
        assert await producer.job(job_id).cancel() is Cancellation.CANCELLED
        assert await lanes.uncovered() == set()

    groups = []
    async for claim in lanes.heads():
        groups.append("".join(sent(claim)))
        await lanes.attempt(claim)

    left = [symbol for symbol, job_id in zip("ABC", ("j0", "j1", "j2"), strict=True) if job_id not in taken_back]
    assert groups == [*left, "XY"]
    assert await lanes.redis.exists(KEYS.attempts + LANE) == 0


async def test_a_group_whose_last_member_was_cancelled_in_flight_is_sent_one_by_one_and_no_further(
    producer: Producer, lanes: Lanes
) -> None:
    """The changes after the group are coalesced again."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")), of(pair("C")))
    claim = await lanes.claim_one()
    await jobs[2].cancel()
    await lanes.attempt(claim, "permanent", code="40017")
    for symbol in "DE":
        await producer.enqueue(of(pair(symbol)), coalesce=True)

    groups = []
    async for claim in lanes.heads():
        groups.append("".join(sent(claim)))
        await lanes.attempt(claim)

    assert groups == ["A", "B", "DE"]


async def test_new_changes_are_coalesced_with_a_group_that_is_retried(producer: Producer, lanes: Lanes) -> None:
    """Members that were sent before are applied with them, not superseded by them."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")))
    await lanes.attempt(await lanes.claim_one(), "ambiguous")
    jobs.append(await producer.enqueue(of(pair("A", "2"), pair("B", "2")), job_id="new", coalesce=True))
    await lanes.due_now(LANE)
    claim = await lanes.claim_one()
    assert sent(claim) == {"A": "2", "B": "2"}

    await lanes.attempt(claim)

    found = await results(jobs)
    assert [each.outcome for each in found] == [Outcome.APPLIED] * 3
    assert [len(each.attempts) for each in found[:2]] == [2, 2]
    assert found[2].attempts[-1:] == found[0].attempts[-1:]


async def test_a_member_that_was_sent_is_not_superseded_after_its_head_was_cancelled(
    producer: Producer, lanes: Lanes
) -> None:
    """Though the history was stored with the head."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")))
    await lanes.attempt(await lanes.claim_one(), "ambiguous")
    assert await jobs[0].cancel() is Cancellation.CANCELLED
    await producer.enqueue(of(pair("B", "2")), job_id="new", coalesce=True)

    await lanes.attempt(await lanes.claim_one())

    assert (await jobs[1].result(timeout=0)).outcome is Outcome.APPLIED


async def test_a_member_keeps_its_history_when_the_head_ends_alone(producer: Producer, lanes: Lanes) -> None:
    """The requests that included it; a later change has none of them."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")))
    await lanes.attempt(await lanes.claim_one(), "ambiguous")
    plain = await producer.enqueue(of(pair("C")))
    await lanes.due_now(LANE)
    await lanes.done(await lanes.claim_one(), Outcome.EXHAUSTED)

    async for claim in lanes.heads():
        await lanes.attempt(claim)

    member, newcomer = await results([jobs[1], plain])
    assert [each.verdict for each in member.attempts] == ["ambiguous", "success"]
    assert [each.verdict for each in newcomer.attempts] == ["success"]


async def test_a_throttled_group_waits_together_and_holds_its_user(producer: Producer, lanes: Lanes) -> None:
    """It is sent again as it was."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")))
    settled = await lanes.attempt(await lanes.claim_one(), "throttled", code="429")

    assert settled.again_in_s >= 1
    await producer.enqueue(change("1001", "t2"))
    assert await lanes.claim() == []
    await lanes.redis.delete(KEYS.bucket_of(LANE))  # with its hold
    await lanes.due_now(LANE)
    (claim,) = await lanes.claim()
    assert list(sent(claim)) == ["A", "B"]
    await lanes.attempt(claim)
    assert [each.tries for each in await results(jobs)] == [1, 1]


async def test_a_group_of_a_lost_worker_is_sent_by_another_and_ends_once(
    steering: Producer, timed: Lanes, clock: ManualClock
) -> None:
    """The settlement of the lost worker changes nothing. What was added waits, since the lost request may come late."""
    jobs = await joining(steering, of(pair("A")), of(pair("B")))
    lost = await timed.claim_one()
    jobs.append(await steering.enqueue(of(pair("C")), job_id="new", coalesce=True))
    await timed.lapse()
    timed.claimer = timed.new_claimer()
    held = await timed.claim_one()

    assert (await timed.attempt(lost, "permanent")).fenced
    assert held.lost_deliveries == 1
    assert "".join(sent(held)) == "AB"
    await timed.attempt(held)
    assert (await timed.attempt(lost)).fenced
    assert await timed.claim() == []
    clock.advance(timed.settings.connect_timeout_s + timed.settings.request_timeout_s)
    behind = await timed.claim_one()
    assert "".join(sent(behind)) == "C"
    await timed.attempt(behind)

    assert [each.outcome for each in await results(jobs)] == [Outcome.APPLIED] * 3
    assert await timed.redis.hgetall(KEYS.counts) == {b"applied": b"3"}  # type: ignore[misc]


async def test_a_member_cancelled_between_two_tries_is_not_sent_again(producer: Producer, lanes: Lanes) -> None:
    """The retry has the two other members, which are applied."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")), of(pair("C")))
    await lanes.attempt(await lanes.claim_one(), "transient")

    assert await jobs[1].cancel() is Cancellation.CANCELLED
    await lanes.due_now(LANE)
    claim = await lanes.claim_one()

    assert "".join(sent(claim)) == "AC"
    await lanes.attempt(claim)
    outcomes = [each.outcome for each in await results(jobs)]
    assert outcomes == [Outcome.APPLIED, Outcome.CANCELLED, Outcome.APPLIED]

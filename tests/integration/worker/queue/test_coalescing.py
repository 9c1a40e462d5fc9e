"""Changes of a lane that are sent as one request, step by step without a worker."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from ops.keys import KEYS
from producers import Cancellation, JobState, Outcome, Priority, Producer
from producers.contract.codec import encode_change
from tests.support.changes import change, result
from tests.support.coalescing import LANE, joining, of, pair, results, sent
from tests.support.fan_outs import where_consistent
from tests.support.lanes import Lanes
from worker.queue.claims import Finish


async def test_coalescable_changes_are_sent_as_one_request_and_each_has_its_own_result(
    producer: Producer, lanes: Lanes
) -> None:
    """One claim, one request, one slot; the lane is empty after it."""
    jobs = await joining(producer, of(pair("A")), of(pair("B", "2")), of(pair("A", "3"), pair("C", "3")))
    waiting = [asyncio.create_task(job.result(timeout=30)) for job in jobs]

    claim = await lanes.claim_one()
    assert sent(claim) == {"A": "3", "B": "2", "C": "3"}
    settled = await lanes.attempt(claim, code="00000")

    assert (settled.finished, settled.next_due_s) == (3, None)
    replaced, added, last = await asyncio.gather(*waiting)
    assert (replaced.outcome, replaced.successor, replaced.attempts) == (Outcome.SUPERSEDED, "j2", [])
    assert added.outcome is last.outcome is Outcome.APPLIED
    assert added.attempts == last.attempts != []
    assert await lanes.queued(LANE) == []
    assert await lanes.redis.exists(KEYS.rest + LANE, KEYS.attempts + LANE) == 0
    assert await lanes.uncovered() == set()
    assert await lanes.redis.hgetall(KEYS.counts) == {b"superseded": b"1", b"applied": b"2"}  # type: ignore[misc]


async def test_changes_without_coalesce_are_sent_alone(producer: Producer, lanes: Lanes) -> None:
    """Three settings of the same pair are three requests, in order."""
    for number in range(3):
        await producer.enqueue(of(pair("A", str(number + 1))))

    values = []
    for _ in range(3):
        claim = await lanes.claim_one()
        values.append(sent(claim))
        await lanes.attempt(claim)

    assert values == [{"A": "1"}, {"A": "2"}, {"A": "3"}]


async def test_a_change_without_coalesce_ends_a_group(producer: Producer, lanes: Lanes) -> None:
    """Later changes do not overtake it; they are coalesced with it once it is the head."""
    for number, asked in enumerate((True, True, False, True, True)):
        await producer.enqueue(of(pair(f"S{number}")), job_id=f"j{number}", coalesce=asked)

    groups = []
    async for claim in lanes.heads():
        groups.append(list(sent(claim)))
        await lanes.attempt(claim)

    assert groups == [["S0", "S1"], ["S2", "S3", "S4"]]


async def test_a_request_has_ten_settings_and_the_remaining_changes_follow_in_order(
    producer: Producer, lanes: Lanes
) -> None:
    """25 changes are three requests; ten is the exchange's limit."""
    await joining(producer, *(of(pair(f"S{n}")) for n in range(25)))

    groups = []
    async for claim in lanes.heads():
        groups.append(list(sent(claim)))
        await lanes.attempt(claim)

    assert groups == [[f"S{n}" for n in range(k, min(k + 10, 25))] for k in (0, 10, 20)]


async def test_a_burst_of_corrections_becomes_a_few_requests(producer: Producer, lanes: Lanes) -> None:
    """Of 250 changes of one pair the last is applied; each unsent change names its successor."""
    jobs = await joining(producer, *(of(pair("A", str(n + 1))) for n in range(250)))
    requests = []
    async for claim in lanes.heads():
        requests.append(sent(claim)["A"])
        await lanes.attempt(claim)

    assert len(requests) == 3
    assert requests[-1] == "250"
    found = await results(jobs)
    applied = [n for n, each in enumerate(found) if each.outcome is Outcome.APPLIED]
    assert [str(n + 1) for n in applied] == requests
    assert all(each.successor == f"j{n + 1}" for n, each in enumerate(found) if n not in applied)


async def test_a_head_in_flight_cannot_be_cancelled_and_the_changes_behind_it_can(
    producer: Producer, lanes: Lanes
) -> None:
    """Status and cancel agree about what is in flight: the head, and not what was offered with it."""
    jobs = await joining(producer, of(pair("A")), of(pair("B")))
    jobs.append(await producer.enqueue(of(pair("C")), job_id="plain"))
    jobs.append(await producer.enqueue(of(pair("D")), job_id="late", coalesce=True))
    claim = await lanes.claim_one()

    states = [(await job.status()).state for job in jobs]
    verdicts = [await job.cancel() for job in jobs]
    await lanes.attempt(claim)

    assert states == [JobState.IN_FLIGHT] + [JobState.QUEUED] * 3
    assert verdicts == [Cancellation.IN_FLIGHT] + [Cancellation.CANCELLED] * 3
    outcomes = [each.outcome for each in await results(jobs)]
    assert outcomes == [Outcome.APPLIED] + [Outcome.CANCELLED] * 3
    assert await lanes.uncovered() == set()


async def test_a_change_enqueued_while_a_group_is_in_flight_is_queued_behind_it(
    producer: Producer, lanes: Lanes
) -> None:
    """The request was sent without it; it goes with the next one."""
    await joining(producer, of(pair("A")))
    claim = await lanes.claim_one()
    late = await producer.enqueue(of(pair("B")), coalesce=True)

    assert (await late.status()).state is JobState.QUEUED
    await lanes.attempt(claim)

    assert list(sent(await lanes.claim_one())) == ["B"]


async def test_a_malformed_change_ends_alone_in_its_turn_and_an_expired_one_with_its_group(
    producer: Producer, lanes: Lanes
) -> None:
    """Changes before the malformed one are sent without it, changes behind it after it."""
    jobs = await joining(producer, *(of(pair(symbol)) for symbol in "ABCDE"))
    await lanes.redis.set(KEYS.job + "j1", b"\xc1")
    expired = encode_change(of(pair("D")), enqueued_at_ms=1_000, ttl_ms=1, coalesce=True)
    await lanes.redis.set(KEYS.job + "j3", expired)
    rounds = 0
    async for claim in lanes.heads():
        await lanes.attempt(claim)
        rounds += 1

    outcomes = [each.outcome for each in await results(jobs)]
    assert outcomes == [Outcome.APPLIED, Outcome.REJECTED, Outcome.APPLIED, Outcome.EXPIRED, Outcome.APPLIED]
    assert rounds == 3
    assert await lanes.uncovered() == set()


async def test_group_members_are_counted_in_their_own_batches(producer: Producer, lanes: Lanes) -> None:
    """Two batches and none, sent as one: each result is in its batch's stream, in the lane's order."""
    members = ["x..0", "y..0", "mine", "x..1"]
    for job_id in members:
        batch_id = "" if job_id == "mine" else job_id[0]
        await lanes.submit((job_id, change()), batch_id=batch_id, content="changes", coalesce=True)
    x, y = producer.batch("x"), producer.batch("y")
    head = await lanes.claim_one()
    assert [job_id for job_id, _ in head.coalescable] == members[1:]
    for batch in (x, y):
        await where_consistent(batch)

    settled = await lanes.settler.settle(Finish(claim=head, results=tuple(result(job_id) for job_id in members)))

    assert settled.finished == 4
    assert (await where_consistent(x)).outcomes == {Outcome.APPLIED: 2}
    assert (await where_consistent(y)).outcomes == {Outcome.APPLIED: 1}
    assert [each.job_id for each in (await x.page()).results] == ["x..0", "x..1"]
    assert await lanes.uncovered() == set()


async def test_a_settlement_ends_only_those_of_its_changes_that_were_not_cancelled_meanwhile(
    producer: Producer, lanes: Lanes
) -> None:
    """A change ends once: the cancelled one keeps its result, and the ones around it get theirs."""
    jobs = await joining(producer, *(of(pair(symbol)) for symbol in "ABCD"))
    head = await lanes.claim_one()
    assert await jobs[1].cancel() is Cancellation.CANCELLED

    settlement = Finish(claim=head, results=tuple(result(job_id) for job_id in ("j0", "j1", "j2")))
    settled = await lanes.settler.settle(settlement)

    assert (settled.fenced, settled.finished) == (False, 2)
    assert await lanes.queued(LANE) == ["j3"]
    outcomes = [each.outcome for each in await results(jobs[:3])]
    assert outcomes == [Outcome.APPLIED, Outcome.CANCELLED, Outcome.APPLIED]
    assert await lanes.uncovered() == set()


async def test_a_settlement_of_a_change_that_is_not_the_head_changes_nothing(lanes: Lanes) -> None:
    """It is fenced as a whole, and the head can still be settled properly."""
    await lanes.submit(("j0", change()), ("j1", change()), coalesce=True)
    head = await lanes.claim_one()
    other = replace(head, job_id="j1", coalescable=())

    assert (await lanes.settler.settle(Finish(claim=other, results=(result("j1"),)))).fenced

    assert await lanes.queued(LANE) == ["j0", "j1"]
    assert await lanes.redis.exists(KEYS.result + "j0", KEYS.result + "j1", KEYS.counts) == 0
    assert not (await lanes.done(head)).fenced


async def test_a_lane_becomes_bulk_when_a_group_with_its_last_interactive_change_ends(
    producer: Producer, lanes: Lanes
) -> None:
    """A group of a bulk and an interactive change, with a bulk change behind it."""
    await producer.enqueue(of(pair("A")), job_id="bulk", priority=Priority.BULK, coalesce=True)
    await producer.enqueue(of(pair("B")), job_id="urgent", coalesce=True)
    await producer.enqueue(of(pair("C")), job_id="rest", priority=Priority.BULK)
    assert not await lanes.on_bulk(LANE)

    settled = await lanes.attempt(await lanes.claim_one())

    assert settled.finished == 2
    assert await lanes.on_bulk(LANE)
    assert await lanes.uncovered() == set()
    assert await lanes.redis.exists(KEYS.attempts + LANE) == 0

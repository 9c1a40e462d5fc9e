"""Why a queued change waits, as its status says."""

from __future__ import annotations

from typing import Any

import pytest

from ops.keys import KEYS
from producers import Job, Producer
from producers.contract.waits import Wait, WaitReason
from producers.monitor.worker_info import announce_worker
from producers.queue.waits import CREDENTIALS
from producers.transport.runner import execute
from tests.integration.producers.monitor.overview_entries import worker_info
from tests.support.changes import change, numbered, setting
from tests.support.lanes import Lanes
from worker.attempt.decide import release_unsent


async def live_worker(lanes: Lanes, egress: str = "default") -> None:
    """Announce a worker with a session."""
    await lanes.claimer.session.renew()
    now_ms = round(await lanes.now_ms())
    worker = worker_info(beat_at_ms=now_ms, session=lanes.claimer.session.session_id, egress=egress)
    await execute(lanes.redis, announce_worker(KEYS, worker))


async def wait_of(job: Job) -> Wait:
    """Return why a change waits."""
    wait = (await job.status()).wait
    assert wait is not None
    return wait


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({"everything": True}, WaitReason.EVERYTHING_PAUSED),
        ({"user_id": "1001"}, WaitReason.USER_PAUSED),
        ({"trader_id": "t1"}, WaitReason.TRADER_PAUSED),
        ({"egress": "default"}, WaitReason.EGRESS_PAUSED),
    ],
)
async def test_a_paused_change_says_what_is_paused(
    producer: Producer, lanes: Lanes, scope: dict[str, Any], reason: WaitReason
) -> None:
    """And since when; resumed, it is due."""
    await live_worker(lanes)
    job = await producer.enqueue(change())
    await producer.pause(**scope)
    wait = await wait_of(job)
    await producer.resume(**scope)

    assert (wait.reason, wait.expected_at_ms) == (reason, None)
    assert isinstance(wait.facts["sinceMs"], int)
    assert (await wait_of(job)).reason is WaitReason.DUE


async def test_without_a_live_worker_nothing_is_sent(producer: Producer, lanes: Lanes) -> None:
    """A worker of another egress than the one that the user is pinned to does not count."""
    job = await producer.enqueue(change())
    wait = await wait_of(job)
    await live_worker(lanes)
    await lanes.redis.hset(KEYS.pins, "1001", "b")  # type: ignore[misc]

    assert wait.reason is WaitReason.NO_WORKER
    assert (await wait_of(job)).facts == {"egress": "b"}


async def test_a_change_of_a_fan_out_says_why_it_waits(producer: Producer, lanes: Lanes) -> None:
    """It has no payload of its own."""
    await live_worker(lanes)
    await producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["1001"], batch_id="b")

    assert (await wait_of(producer.job("b..1001"))).reason is WaitReason.DUE


async def test_changes_behind_others_say_how_many_go_first(producer: Producer, lanes: Lanes) -> None:
    """And why the first of them waits."""
    await live_worker(lanes)
    jobs = (await producer.enqueue_many(numbered(3))).jobs
    last = await wait_of(jobs[2])
    claim = await lanes.claim_one()
    second = await wait_of(jobs[1])
    await lanes.attempt(claim, "transient", code="40015")
    first = await wait_of(jobs[0])

    assert (last.reason, last.facts) == (WaitReason.LANE_TURN, {"before": 2, "headReason": "due"})
    assert (second.reason, second.facts) == (WaitReason.LANE_TURN, {"before": 1})
    assert (first.reason, first.facts) == (
        WaitReason.BACK_OFF,
        {"attempts": 1, "verdict": "transient", "code": "40015"},
    )


async def test_the_user_s_other_lanes_take_turns_with_the_changes_before(producer: Producer, lanes: Lanes) -> None:
    """Whether they are due or in flight, but not while their traders are paused."""
    await live_worker(lanes)
    for trader in ("t1", "t2", "t3", "t4"):
        jobs = (await producer.enqueue_many([change("1001", trader, value) for value in "123"])).jobs
    await producer.pause(trader_id="t1")
    await producer.limit_user("1001", 1)
    in_flight = await lanes.claim_one()

    head, last = await wait_of(jobs[0]), await wait_of(jobs[2])

    assert in_flight.lane == "1001:t2"
    assert last.facts["otherLanes"] == 2
    assert (last.expected_at_ms or 0) - (head.expected_at_ms or 0) >= (2 + 2 * 2) * 1000


async def test_the_change_after_a_lost_request_says_so(producer: Producer, lanes: Lanes) -> None:
    """Until the lost request can no longer be applied."""
    await live_worker(lanes)
    jobs = (await producer.enqueue_many(numbered(2))).jobs
    await lanes.attempt(await lanes.claim_one(), "ambiguous", late_for_s=60)
    await lanes.due_now("1001:t1")
    await lanes.attempt(await lanes.claim_one())

    wait = await wait_of(jobs[1])

    assert wait.reason is WaitReason.LOST_REQUEST
    assert wait.expected_at_ms == pytest.approx(wait.facts["untilMs"], abs=2)


async def test_a_change_whose_keys_cannot_be_read_says_so(producer: Producer, lanes: Lanes) -> None:
    """Until they can, or it is put back for another reason."""
    await live_worker(lanes)
    job = await producer.enqueue(change())
    await lanes.settler.settle(release_unsent(await lanes.claim_one(), delay_s=60, waits_for=CREDENTIALS))
    reasons = [(await wait_of(job)).reason]
    await lanes.due_now("1001:t1")
    await lanes.settler.settle(release_unsent(await lanes.claim_one(), delay_s=60))
    reasons.append((await wait_of(job)).reason)

    assert reasons == [WaitReason.CREDENTIALS_UNAVAILABLE, WaitReason.BACK_OFF]


async def test_a_change_of_a_throttled_user_says_that_it_is_held(producer: Producer, lanes: Lanes) -> None:
    """A change of the same user with another trader as well."""
    await live_worker(lanes)
    await producer.enqueue(change())
    await lanes.back(await lanes.claim_one(), hold_s=60)
    other = await producer.enqueue(change(trader="t2"))

    assert (await wait_of(other)).reason is WaitReason.HOLD


async def test_a_user_at_its_limit_waits_for_its_slot(timed: Lanes) -> None:
    """Its lanes go in turn."""
    await live_worker(timed)
    await timed.submit(*((f"j{n}", change(trader=f"t{n}")) for n in range(3)))
    steering = Producer(timed.redis)
    await timed.claim_one()

    wait = await wait_of(steering.job("j2"))

    assert wait.reason is WaitReason.USER_SLOT
    assert wait.facts == {"ratePerS": 10.0, "lanesBefore": 1}

"""Users that are pinned to egresses: who claims for them, whatever they wait for when they are pinned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Check, InvalidId, Overview, Pin, Priority, Producer, WaitReason
from producers.monitor.checks import CheckStatus
from producers.monitor.queue_checks import check_queue
from producers.queue import pins as pins_module
from tests.support.changes import change, setting
from tests.support.contents import contents
from tests.support.lanes import DEFAULTS, Lanes
from worker.queue.claims import Claim

LANE = "1001:t1"


@pytest.fixture
def near(redis: ArqRedis) -> Lanes:
    """Workers of an egress."""
    return Lanes(redis, settings=DEFAULTS.__class__(egress="near"))


@pytest.fixture
def far(redis: ArqRedis) -> Lanes:
    """Workers of another one."""
    return Lanes(redis, settings=DEFAULTS.__class__(egress="far"))


async def users(lanes: Lanes) -> list[str]:
    """Claim for all due users, and return them."""
    return [claim.lane.partition(":")[0] for claim in await lanes.claim()]


async def test_pinned_users_leave_by_their_egress_and_others_by_any(
    producer: Producer, near: Lanes, far: Lanes
) -> None:
    """Of either priority."""
    await producer.pin_users({"1": "near", "2": "far"})
    for user in ("1", "2", "3"):
        await producer.enqueue(change(user), priority=Priority.BULK if user == "2" else Priority.INTERACTIVE)

    assert await users(far) == ["3", "2"]
    assert await users(near) == ["1"]


async def _waiting(producer: Producer, far: Lanes) -> None:
    await producer.enqueue(change())
    assert await far.uncovered() == set()


async def _parked(producer: Producer, far: Lanes) -> None:
    await producer.pause(trader_id="t1")
    await producer.enqueue(change())
    assert await far.claim() == []


async def _paused(producer: Producer, far: Lanes) -> None:
    await producer.pause(user_id="1001")
    await producer.enqueue(change())
    assert await far.claim() == []


async def _put_back(producer: Producer, far: Lanes) -> None:
    await producer.enqueue(change())
    await far.back(await far.claim_one(), delay_s=60)


@pytest.mark.parametrize("begin", [_waiting, _parked, _paused, _put_back], ids=lambda begin: begin.__name__[1:])
async def test_a_user_that_waits_is_pinned_with_all_that_it_waits_for(
    producer: Producer, near: Lanes, far: Lanes, begin: Callable[[Producer, Lanes], Awaitable[None]]
) -> None:
    """What ends its wait makes it due on the new egress, and there only."""
    await begin(producer, far)
    await producer.pin_user("1001", "near")
    assert await near.uncovered() == set()

    await producer.resume(trader_id="t1")
    await producer.resume(user_id="1001")
    if begin is _put_back:
        await near.redis.zadd(KEYS.lanes + "1001", {"t1": 1})
        await producer.limit_user("1001", None)  # wakes the user

    assert await far.claim() == []
    assert await users(near) == ["1001"]


@pytest.mark.parametrize("end", ["back", "lapse", "lost"])
async def test_a_lane_in_flight_returns_to_the_schedule_of_the_pin(timed: Lanes, end: str) -> None:
    """Its request leaves by the former egress; if it is put back, the next one leaves by the new egress."""
    near = Lanes(timed.redis, clock=timed.clock, settings=DEFAULTS.__class__(egress="near"))
    await timed.submit(("j", change()))
    claim = await timed.claim_one()
    await Producer(timed.redis).pin_user("1001", "near")

    match end:
        case "back":
            await timed.back(claim)
        case "lapse":
            await timed.lapse()
        case "lost":
            session_id, number = claim.session_id, int(claim.token.partition(".")[0])
            timed.claimer.session.lose_claim(session_id, number)
            await timed.claimer.session.renew()

    assert await timed.uncovered() == set()
    assert await timed.claim() == []
    await timed.clock.sleep(60)
    assert await users(near) == ["1001"]


async def test_pinning_wakes_a_worker_of_the_egress(producer: Producer, redis: ArqRedis) -> None:
    """So do changes of pinned users; workers of other egresses are left alone."""
    await producer.enqueue(change())
    await redis.delete(KEYS.wakeups)

    await producer.pin_user("1001", "near")
    assert await redis.llen(KEYS.egress_wakeups + "near") == 1  # type: ignore[misc]
    await redis.delete(KEYS.egress_wakeups + "near")
    await producer.enqueue(change(trader="t2"))
    assert await redis.llen(KEYS.egress_wakeups + "near") == 1  # type: ignore[misc]
    assert not await redis.exists(KEYS.wakeups)
    await producer.unpin_user("1001")
    assert await redis.llen(KEYS.wakeups) == 1  # type: ignore[misc]


async def test_a_settlement_wakes_the_egress_that_its_user_was_pinned_to_meanwhile(
    producer: Producer, far: Lanes
) -> None:
    """The worker that settles would not know."""
    await producer.enqueue(change())
    claim: Claim = await far.claim_one()
    await producer.pin_user("1001", "near")
    await far.back(claim)

    assert await far.redis.llen(KEYS.egress_wakeups + "near") == 1  # type: ignore[misc]


async def test_pins_are_listed_and_leave_nothing_behind(
    producer: Producer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpinning who is not pinned, or pinning again, changes nothing; long lists go in chunks."""
    monkeypatch.setattr(pins_module, "CHUNK_SIZE", 2)
    wanted = {"1": "near", "a:b": "x:y", "3": "near", "4": "near", "5": "far"}

    assert await producer.pin_users(wanted) == 5
    assert await producer.pin_users(wanted | {"9": None}) == 0
    assert {pin.user_id: pin.egress async for pin in producer.pins()} == wanted
    assert (await producer.pins_page()).pins.count(Pin(user_id="a:b", egress="x:y")) == 1
    assert (await producer.user_status("a:b")).egress == "x:y"
    assert {each.name: each.pinned_users for each in (await producer.overview()).egresses} == {
        "near": 3,
        "x:y": 1,
        "far": 1,
    }

    assert await producer.pin_users({"5": "near"}) == 1
    assert await producer.pin_users(dict.fromkeys(wanted)) == 5
    assert await contents(redis) == {}


@pytest.mark.parametrize("pins", [{"1": "near", "b ad": "near"}, {"1": "near", "2": "ne ar"}, {"1": "near", "2": ""}])
async def test_an_invalid_pin_changes_nothing(producer: Producer, redis: ArqRedis, pins: dict[str, str]) -> None:
    """Not those before it either."""
    with pytest.raises(InvalidId):
        await producer.pin_users(pins)

    assert await contents(redis) == {}


async def test_users_pinned_to_an_egress_without_workers_are_counted_and_told_of(producer: Producer) -> None:
    """In the overview, the doctor and the change's status."""
    await producer.pin_user("1001", "near")
    quiet = _check_of("egress near", await producer.overview())
    job = await producer.enqueue(change())
    overview = await producer.overview()
    wait = (await job.status()).wait

    assert quiet.status is CheckStatus.WARN
    check = _check_of("egress near", overview)
    assert (check.status, check.detail) == (
        CheckStatus.FAIL,
        "no worker of it is alive: the changes of its 1 pinned user wait; 1 due",
    )
    assert (overview.interactive.users, overview.interactive.due) == (1, 1)
    assert [lane.user_id for lane in overview.next_lanes] == ["1001"]
    assert wait is not None
    assert (wait.reason, wait.facts) == (WaitReason.NO_WORKER, {"egress": "near"})
    assert wait.message == "no worker is alive on egress near, to which its user is pinned"


def _check_of(name: str, overview: Overview) -> Check:
    return next(check for check in check_queue(overview) if check.name == name)


async def test_a_batch_for_users_of_an_egress_that_does_not_send_has_no_end(
    producer: Producer, near: Lanes, far: Lanes
) -> None:
    """Until a worker of it claims."""
    await producer.pin_user("1001", "near")
    await producer.enqueue(change("2"))
    await far.claim()  # publishes what its egress can send
    await producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["1001", "3"], batch_id="b")

    without = (await producer.batch("b").progress()).eta_s
    await near.claim(1)

    assert without is None
    assert (await producer.batch("b").progress()).eta_s is not None

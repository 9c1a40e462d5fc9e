"""Pauses of a user, a trader, an egress or everything: nothing of it is claimed until all its pauses end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import InvalidId, Pause, Priority, Producer
from tests.support.changes import change, numbered
from tests.support.contents import contents
from tests.support.fan_outs import end_all, to_users, users, where_consistent
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim
from worker.settings import WorkerSettings

NAMES = ("plain", "a:b", "100%", "*", "[x]", "a?c", "a\\b", "^-", "1%3A2")
"""IDs with our own marks, and with those of Redis's patterns."""


def of(kind: str, name: str = "") -> dict[str, Any]:
    return {"user": {"user_id": name}, "trader": {"trader_id": name}, "egress": {"egress": name}}.get(
        kind, {"everything": True}
    )


async def claimed(lanes: Lanes) -> set[str]:
    """Claim until nothing is due: a call claims one lane of a user."""
    found: set[str] = set()
    while claims := await lanes.claim():
        found |= {claim.job_id for claim in claims}
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["user", "trader"])
async def test_only_the_paused_user_or_trader_waits_and_is_due_when_resumed(
    producer: Producer, lanes: Lanes, kind: str, name: str
) -> None:
    """Whatever separators are in the name; similar names go on."""
    ids = ["bystander", name, f"{name}x", f"x{name}"]
    await lanes.submit(*((each, change(each, "t") if kind == "user" else change("u", each)) for each in ids))
    await producer.pause(**of(kind, name))

    assert await claimed(lanes) == set(ids) - {name}
    assert await claimed(lanes) == set()
    assert await lanes.uncovered() == set()
    await producer.resume(**of(kind, name))

    assert await claimed(lanes) == {name}


@pytest.mark.parametrize(("kind", "name"), [("everything", ""), ("egress", "default")])
async def test_everything_or_an_egress_may_be_paused(producer: Producer, lanes: Lanes, kind: str, name: str) -> None:
    """Nothing is claimed, and resuming wakes an idle worker."""
    await lanes.submit(("j1", change()))
    await producer.pause(**of(kind, name))

    assert await claimed(lanes) == set()
    await lanes.redis.delete(KEYS.wakeups)
    await producer.resume(**of(kind, name))

    woken = KEYS.egress_wakeups + name if kind == "egress" else KEYS.wakeups
    assert await lanes.redis.llen(woken) == 1  # type: ignore[misc]
    assert await claimed(lanes) == {"j1"}


@pytest.mark.parametrize("name", NAMES)
async def test_a_paused_egress_stops_only_its_own_workers(producer: Producer, redis: ArqRedis, name: str) -> None:
    """Workers of other egresses drain its lanes."""
    theirs, others = Lanes(redis, settings=WorkerSettings(egress=name)), Lanes(redis)
    await producer.pause(egress=name)
    await others.submit(("j1", change()))

    assert await claimed(theirs) == set()
    assert await claimed(others) == {"j1"}


async def test_pausing_or_resuming_twice_reports_that_nothing_changed(producer: Producer) -> None:
    """The time of the first pause stays."""
    assert await producer.pause(user_id="1")
    (first,) = await producer.paused()
    assert not await producer.pause(user_id="1")
    assert await producer.paused() == [first]
    assert await producer.resume(user_id="1")
    assert not await producer.resume(user_id="1")
    assert await producer.paused() == []


async def test_pauses_are_listed_with_their_names_and_times(producer: Producer, lanes: Lanes) -> None:
    """Oldest first; names with special characters come back unescaped."""
    for kind in ("user", "trader", "egress"):
        for name in NAMES:
            await producer.pause(**of(kind, name))
    await producer.pause(everything=True)

    listed = await producer.paused()

    expected = {(kind, name) for kind in ("user", "trader", "egress") for name in NAMES} | {("everything", "")}
    assert {(pause.kind, pause.name) for pause in listed} == expected
    assert [pause.since_ms for pause in listed] == sorted(pause.since_ms for pause in listed)
    assert listed[-1].since_ms == pytest.approx(await lanes.now_ms(), abs=30_000)
    assert isinstance(listed[0], Pause)


@pytest.mark.parametrize(
    "given", [{}, {"user_id": "1", "trader_id": "1"}, {"egress": "1", "everything": True}, {"everything": False}]
)
async def test_a_pause_takes_exactly_one_scope(producer: Producer, redis: ArqRedis, given: dict[str, Any]) -> None:
    """None, two, or `everything=False` is a TypeError, for pause and for resume."""
    for ask in (producer.pause, producer.resume):
        with pytest.raises(TypeError, match="just one of"):
            await ask(**given)

    assert await contents(redis) == {}


@pytest.mark.parametrize("kind", ["user", "trader", "egress"])
@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 129])
async def test_a_malformed_id_cannot_be_paused(producer: Producer, kind: str, name: str) -> None:
    """Empty, with a space, non-ASCII, or longer than 128 characters."""
    with pytest.raises(InvalidId):
        await producer.pause(**of(kind, name))


async def test_a_change_in_flight_ends_although_its_user_is_paused(producer: Producer, lanes: Lanes) -> None:
    """The lane waits then, also if the change was put back."""
    await lanes.submit(("a", change("1")), ("b", change("1")), ("c", change("2")))
    one, other = await lanes.claim()
    await producer.pause(user_id="1")
    await producer.pause(user_id="2")

    assert not (await lanes.done(one)).fenced
    assert not (await lanes.back(other)).fenced
    assert await claimed(lanes) == set()
    await producer.resume(user_id="1")
    await producer.resume(user_id="2")

    assert await claimed(lanes) == {"b", "c"}


async def test_resuming_keeps_a_change_in_flight(producer: Producer, lanes: Lanes) -> None:
    """Making the lane due at once would let a second worker send the change."""
    await lanes.submit(("a", change()))
    held = await lanes.claim_one()
    await producer.pause(user_id="1001")

    await producer.resume(user_id="1001")

    assert await lanes.is_held(held)
    assert await claimed(lanes) == set()
    assert not (await lanes.done(held)).fenced


async def test_a_change_waits_until_none_of_its_pauses_is_in_force(producer: Producer, lanes: Lanes) -> None:
    """A pause of everything, of its user and of its trader, resumed one by one."""
    await lanes.submit(("a", change("1", "t")))
    for pause in (of("user", "1"), of("trader", "t"), of("everything")):
        await producer.pause(**pause)
    for pause in (of("everything"), of("user", "1"), of("trader", "t")):
        assert await claimed(lanes) == set()
        await producer.resume(**pause)

    assert await claimed(lanes) == {"a"}


@pytest.mark.parametrize("redis", ["valkey"], indirect=True)
async def test_a_paused_trader_of_many_users_is_resumed_for_all(producer: Producer, lanes: Lanes) -> None:
    """More lanes than one call wakes, of both priorities."""
    await to_users(producer, users(1200))
    await to_users(producer, ["urgent"], "u", priority=Priority.INTERACTIVE)
    await producer.pause(trader_id="t1")
    while (await lanes.claims(100)).next_due_s == 0:
        pass
    assert await claimed(lanes) == set()
    await producer.resume(trader_id="t1")

    assert len(await end_all(lanes)) == 1201


@pytest.mark.parametrize("scope", [{"user_id": "1001"}, {"trader_id": "t1"}], ids=str)
async def test_changes_enqueued_during_a_pause_wait_too(
    producer: Producer, lanes: Lanes, scope: dict[str, Any]
) -> None:
    """In their order; they can be cancelled."""
    await producer.pause(**scope)
    batch = await producer.fan_out(numbered(3), batch_id="b")
    assert await claimed(lanes) == set()
    await producer.job("b..0").cancel()
    assert await claimed(lanes) == set()

    await producer.resume(**scope)

    assert await end_all(lanes) == ["b..1", "b..2"]
    assert (await where_consistent(batch)).complete


async def drained(lanes: Lanes, clock: ManualClock, count: int) -> list[int]:
    """Return the slots of the next claims, each claimed when it is due."""
    slots: list[int] = []
    while len(slots) < count:
        claims = await lanes.claims()
        for claim in claims.claims:
            slots.append(await lanes.slot_us(claim))
            clock.advance_to_us(slots[-1])
            await lanes.done(claim, took_s=0.0)
        if not claims.claims:
            assert claims.next_due_s is not None
            clock.advance(claims.next_due_s + 0.001)
    return slots


@pytest.mark.parametrize("kind", ["user", "trader"])
async def test_a_user_with_a_backlog_goes_on_at_its_pace_after_a_short_pause(
    timed: Lanes, clock: ManualClock, kind: str
) -> None:
    """The pause takes no slots."""
    producer = Producer(timed.redis)
    traders = ["t"] * 100 if kind == "trader" else [f"t{n}" for n in range(100)]
    await timed.submit(*((f"j{n}", change("1001", trader)) for n, trader in enumerate(traders)))
    slots = await drained(timed, clock, 5)
    name = {"user": "1001", "trader": "t"}[kind]
    await producer.pause(**of(kind, name))
    held: list[Claim] = await timed.claim()
    assert held == []
    await producer.resume(**of(kind, name))

    slots += await drained(timed, clock, 40)

    gaps = [later - earlier for earlier, later in itertools.pairwise(slots)]
    assert max(gaps) < 2 * PACING.pace_us
    assert max(sum(start <= slot < start + PACING.window_us for slot in slots) for start in slots) <= 10


@pytest.mark.parametrize("scope", [{"user_id": "1001"}, {"trader_id": "t1"}], ids=str)
async def test_a_resumed_lane_of_a_lost_worker_is_due(steering: Producer, timed: Lanes, scope: dict[str, Any]) -> None:
    """The session lapses during the pause, so the lane is claimed right after it."""
    await timed.submit(("j", change()))
    await timed.claim_one()
    await steering.pause(**scope)
    await timed.lapse()
    assert await timed.claim() == []

    await steering.resume(**scope)

    assert [claim.job_id for claim in await timed.claim()] == ["j"]

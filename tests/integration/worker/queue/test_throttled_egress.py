"""Many users that are throttled: whether it is the limit of their egress is found out by probes of other users."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers import Producer
from producers.queue.breaker import BreakerEvent
from tests.support.changes import change
from tests.support.lanes import DEFAULTS, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claims import Claim, EgressHealth, Settled

USERS = 40
BLAMED = 5
"""So many throttled users, as breaker.lua has it."""
BAN_S = 20.0


@pytest.fixture
async def lanes(timed: Lanes, clock: ManualClock) -> Lanes:
    """Forty users with a change each."""
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(USERS)), now_ms=clock.now_ms)
    return timed


async def throttle(lanes: Lanes, claims: list[Claim], retry_after_s: float | None = None) -> list[Settled]:
    return [await lanes.attempt(claim, "throttled", retry_after_s=retry_after_s) for claim in claims]


async def next_claim(lanes: Lanes, clock: ManualClock, within_s: float = 700.0) -> tuple[Claim, float]:
    """Return the only claim of the next call that claims, and how many seconds passed until then."""
    began_s = clock.monotonic()
    while clock.monotonic() - began_s <= within_s:
        claims = await lanes.claims()
        if claims.claims:
            (only,) = claims.claims
            return only, clock.monotonic() - began_s
        assert claims.next_due_s is not None
        clock.advance(claims.next_due_s + 0.001)
    raise AssertionError("nothing is claimed any more")


def user_of(claim: Claim) -> str:
    return claim.lane.partition(":")[0]


async def test_five_throttled_users_pause_the_egress_for_a_second_and_a_good_probe_of_another_ends_it(
    lanes: Lanes, clock: ManualClock
) -> None:
    """Five users whose own programs use up their limit delay nobody else by more than that."""
    *others, fifth = (await lanes.claim(10))[:BLAMED]
    before = await throttle(lanes, others)
    opened = await throttle(lanes, [fifth])
    blamed = {user_of(claim) for claim in (*others, fifth)}

    probe, waited_s = await next_claim(lanes, clock)
    again = await lanes.claims()
    closed = await lanes.attempt(probe)

    assert {settled.breaker for settled in before} == {BreakerEvent.NONE}
    assert opened[0].breaker is BreakerEvent.EGRESS_HELD
    assert waited_s == pytest.approx(1, abs=0.05)
    assert probe.egress_health is EgressHealth.PROBING
    assert user_of(probe) not in blamed
    assert again.claims == [], "one probe at a time"
    assert closed.breaker is BreakerEvent.CLOSED
    assert len(await lanes.claim()) > 1


async def test_users_whose_own_limit_was_met_or_whose_429_came_late_are_not_probed_while_others_are_due(
    timed: Lanes, clock: ManualClock
) -> None:
    """Their 429s do not count for the pause, but they are no better probes than those that do."""
    names = [f"blamed{n}" for n in range(BLAMED)] + ["a-busy", "a-late"]
    await timed.submit(("before", change("a-busy", "t0")), now_ms=clock.now_ms)
    await timed.attempt(await timed.claim_one())
    clock.advance(0.2)
    for name in names:
        await timed.submit((name, change(name)), now_ms=clock.now_ms)
    claims = {user_of(claim): claim for claim in await timed.claim()}
    late = claims.pop("a-late")
    settled = await throttle(timed, [claims.pop("a-busy"), *claims.values(), late])
    for name in ("a-busy", "a-late"):
        await timed.redis.delete(KEYS.bucket_of(name))  # with its hold
    for name in ("a-busy", "a-late", "z"):
        await timed.submit((f"new-{name}", change(name, "t9")), now_ms=clock.now_ms)

    probe, _ = await next_claim(timed, clock)

    assert [one.breaker for one in settled].index(BreakerEvent.EGRESS_HELD) == BLAMED
    assert user_of(probe) == "z"


async def test_the_pause_doubles_while_users_are_throttled_that_were_not_before(
    lanes: Lanes, clock: ManualClock
) -> None:
    """Up to the time that the exchange needs to recover."""
    await throttle(lanes, await lanes.claim(BLAMED))
    pauses, users = [], []
    for _ in range(11):
        probe, waited_s = await next_claim(lanes, clock)
        pauses.append(waited_s)
        users.append(user_of(probe))
        (settled,) = await throttle(lanes, [probe])
        (egress,) = (await Producer(lanes.redis).overview()).egresses
        assert (egress.trouble, egress.hold_s) == ("throttled", egress.probe_in_s)
        assert (settled.breaker is BreakerEvent.EGRESS_HELD) == (len(pauses) < 10), "no line without news"

    expected = [min(2.0**n, DEFAULTS.egress_hold_s) for n in range(11)]
    assert pauses == pytest.approx(expected, abs=0.06)
    assert len(set(users)) == len(users), "each probe is of another user"


async def test_throttled_probes_of_throttled_users_leave_the_pause_as_it_is(timed: Lanes, clock: ManualClock) -> None:
    """If nobody else has a change, they show nothing about the egress; their own holds grow."""
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(BLAMED)), now_ms=clock.now_ms)
    await throttle(timed, await timed.claim())
    for _ in range(3):
        probe, _ = await next_claim(timed, clock)
        (settled,) = await throttle(timed, [probe])
        assert settled.breaker is BreakerEvent.NONE
    await timed.submit(("new", change("new")), now_ms=clock.now_ms)

    probe, waited_s = await next_claim(timed, clock)

    assert probe.job_id == "new"
    assert waited_s <= 1.1


@pytest.mark.parametrize(("asked_s", "pause_s"), [(BAN_S, BAN_S), (0.2, 1.0), (600.0, 600.0)])
async def test_the_exchange_s_retry_after_sets_the_pause_if_a_new_user_is_throttled(
    lanes: Lanes, clock: ManualClock, asked_s: float, pause_s: float
) -> None:
    """At least a second."""
    await throttle(lanes, await lanes.claim(BLAMED))
    probe, _ = await next_claim(lanes, clock)
    await throttle(lanes, [probe], asked_s)

    _, waited_s = await next_claim(lanes, clock)

    assert waited_s == pytest.approx(pause_s, abs=0.05)


async def test_a_probe_without_a_verdict_leaves_a_throttled_egress_as_it_is(lanes: Lanes, clock: ManualClock) -> None:
    """It shows neither that the egress is throttled nor that it is not."""
    await throttle(lanes, await lanes.claim(BLAMED))
    for _ in range(3):
        probe, waited_s = await next_claim(lanes, clock)
        assert waited_s == pytest.approx(1, abs=0.05)
        assert (await lanes.attempt(probe, "ambiguous")).breaker is BreakerEvent.NONE


@pytest.mark.parametrize("moment", ["before the claims", "before the replies are settled"])
async def test_after_a_step_of_redis_s_clock_throttled_users_are_slowed_and_the_egress_is_not_paused(
    lanes: Lanes, clock: ManualClock, moment: str
) -> None:
    """Set forward, it makes windows seem to have passed that have not, so users meet their own limits."""
    for claim in await lanes.claim():
        await lanes.done(claim, took_s=0.01)
    await lanes.submit(*((f"second {n}".replace(" ", "-"), change(str(n))) for n in range(USERS)), now_ms=clock.now_ms)
    if moment == "before the claims":
        clock.step(60)
    clock.advance(0.2)
    second = await lanes.claim(10)
    if moment == "before the replies are settled":
        clock.step(60)
    settled = await throttle(lanes, second)

    assert len(settled) == 10
    assert {one.breaker for one in settled} == {BreakerEvent.NONE}
    assert (await Producer(lanes.redis).user_status(user_of(second[0]))).slowed == 2.1


async def test_one_user_throttled_many_times_does_not_pause_the_egress(lanes: Lanes, clock: ManualClock) -> None:
    """Replies of 429 to one user are that user's limit, not the IP's."""
    first, *_ = await lanes.claim(10)
    await throttle(lanes, [first] * BLAMED * 2)  # all but the first are fenced; each reports the 429
    clock.advance(0.1)

    assert len(await lanes.claim(10)) == 10


async def test_a_hold_outlives_the_bucket_s_usual_life_even_if_the_lane_was_lost(lanes: Lanes) -> None:
    """The exchange asked the user to wait, whoever has its lane now."""
    first, *_ = await lanes.claim(10)
    await lanes.attempt(first)
    settled = await lanes.attempt(first, "throttled", retry_after_s=600)

    assert settled.fenced
    assert await lanes.redis.pttl(KEYS.bucket_of(first.lane)) > 600_000


async def test_throttled_users_between_other_replies_do_not_pause_the_egress(lanes: Lanes, clock: ManualClock) -> None:
    """A limit of the IP lets nobody through: one other reply shows that it is the users' limits."""
    claims = [claim for _ in range(3) for claim in await lanes.claim(10)]
    for number, claim in enumerate(claims):
        await lanes.attempt(claim, "throttled" if number % BLAMED else "permanent")
    clock.advance(0.1)

    assert len(claims) > BLAMED * 2
    assert len(await lanes.claim(10)) > 1


async def test_users_throttled_right_after_another_request_do_not_pause_the_egress(
    timed: Lanes, clock: ManualClock
) -> None:
    """Within a second of another request, a user may have met its own limit."""
    users = range(BLAMED + 1)
    await timed.submit(*((f"{nth}-{n}", change(str(n))) for nth in ("first", "second") for n in users))
    for claim in await timed.claim():
        await timed.done(claim, took_s=0.01)
    clock.advance(0.2)
    second = await timed.claim()
    await throttle(timed, second)
    await timed.submit(("other", change("another")))

    assert len(second) == len(users)
    assert [claim.job_id for claim in await timed.claim()] == ["other"]


async def test_a_failure_without_a_reply_does_not_clear_throttled_users(lanes: Lanes, clock: ManualClock) -> None:
    """Only a reply shows that the exchange lets somebody through."""
    claims = await lanes.claim(20)
    for _ in range(BLAMED):
        await lanes.attempt(claims.pop(), "ambiguous")
        await throttle(lanes, [claims.pop()])
    clock.advance(0.1)

    assert await lanes.claim() == []
    assert await lanes.redis.hget(KEYS.egress + "default", "reason") == b"throttled"  # type: ignore[misc]

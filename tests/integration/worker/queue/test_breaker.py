"""The breaker of an egress: an outage ends no change, and one probe at a time finds its end."""

from __future__ import annotations

from typing import Any

import pytest

from ops.keys import KEYS
from producers import Outcome, Producer
from producers.queue.breaker import BreakerEvent
from tests.support.changes import change
from tests.support.lanes import PACING, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.claim import PROBE_MARGIN_S
from worker.queue.claims import Claim, EgressHealth, Settled
from worker.settings import WorkerSettings

USERS = 40
OUTAGE_S = 600.0
LONGEST_PAUSE_S = 30.0
FRESH_PAUSE_S = 2.0


@pytest.fixture
async def lanes(timed: Lanes, clock: ManualClock) -> Lanes:
    """Forty users with a change each."""
    await timed.submit(*((f"j{n}", change(str(n))) for n in range(USERS)), now_ms=clock.now_ms)
    return timed


async def opened(lanes: Lanes, verdict: str = "transient", **changed: Any) -> list[Settled]:
    """Give every due change this verdict until the breaker opens."""
    settled: list[Settled] = []
    while all(one.breaker is not BreakerEvent.OPENED for one in settled):
        claims = await lanes.claims()
        for claim in claims.claims:
            settled.append(await lanes.attempt(claim, verdict, **changed))
            assert len(settled) < 100, "it does not open"
        _move(lanes, claims.next_due_s or 0.01)
    return settled


def _move(lanes: Lanes, seconds: float) -> None:
    assert isinstance(lanes.clock, ManualClock)
    lanes.clock.advance(seconds)


async def next_claims(lanes: Lanes, within_s: float = 100.0) -> tuple[list[Claim], float]:
    """Return the next claims and how many seconds passed until then."""
    began_s = lanes.clock.monotonic()
    while lanes.clock.monotonic() - began_s <= within_s:
        claims = await lanes.claims()
        if claims.claims:
            return claims.claims, lanes.clock.monotonic() - began_s
        assert claims.next_due_s is not None
        _move(lanes, claims.next_due_s + 0.001)
    raise AssertionError("nothing is claimed any more")


async def test_three_users_that_fail_eight_times_in_a_row_open_the_breaker(lanes: Lanes) -> None:
    """Nothing is claimed then, though lanes are due."""
    settled = await opened(lanes)

    assert sum(one.breaker is BreakerEvent.OPENED for one in settled) == 1
    assert await lanes.claim() == []
    assert not await lanes.uncovered()


async def test_eight_failures_of_the_egress_s_proxy_open_the_breaker_for_one_user_too(
    timed: Lanes, clock: ManualClock
) -> None:
    """They are not the user's, and count as no tries."""
    await timed.submit(*((f"j{n}", change("1", f"t{n}")) for n in range(8)), now_ms=clock.now_ms)

    assert len(await opened(timed, is_egress_fault=True)) == 8
    claim = (await next_claims(timed))[0][0]
    await timed.attempt(claim, "permanent")
    assert (await Producer(timed.redis).job(claim.job_id).result(timeout=0)).tries == 1


async def test_two_failing_users_do_not_open_the_breaker(timed: Lanes, clock: ManualClock) -> None:
    """Their lanes back off separately; a third user is sent for at once."""
    await timed.submit(("a", change("1")), ("b", change("2")), now_ms=clock.now_ms)
    for _ in range(10):
        for claim in await timed.claim():
            await timed.attempt(claim, "transient")
        clock.advance(60)
    await timed.submit(("c", change("3")), now_ms=clock.now_ms)

    assert "c" in [claim.job_id for claim in await timed.claim()]


async def test_a_good_reply_between_failures_keeps_the_breaker_closed(lanes: Lanes, clock: ManualClock) -> None:
    """The exchange answers, if badly: every fifth reply is good."""
    settled = []
    for _ in range(10):
        for number, claim in enumerate(await lanes.claim()):
            settled.append(await lanes.attempt(claim, "success" if number % 5 == 0 else "ambiguous"))
        clock.advance(0.1)

    assert len(settled) > 20
    assert all(one.breaker is BreakerEvent.NONE for one in settled)


async def test_an_open_breaker_lets_one_probe_out_at_a_time(lanes: Lanes) -> None:
    """For ten minutes. Pauses double up to half a minute, or to 2 s for users that have not failed yet."""
    await opened(lanes)
    elsewhere = lanes.new_claimer()
    began_s = lanes.clock.monotonic()
    pauses = []
    while lanes.clock.monotonic() - began_s < OUTAGE_S:
        (probe,), waited_s = await next_claims(lanes)
        assert probe.egress_health is EgressHealth.PROBING
        assert (await lanes.claims(claimer=elsewhere)).claims == [], "two probes"
        settled = await lanes.attempt(probe, "transient")
        assert (settled.fenced, settled.finished) == (False, 0)
        pauses.append(waited_s)

    assert max(pauses) <= LONGEST_PAUSE_S + 0.1
    assert pauses[0] < 1.1
    assert max(pauses[: USERS // 2]) <= FRESH_PAUSE_S + 0.1
    assert all(pause >= 14.9 for pause in pauses[USERS:])
    assert await lanes.redis.hgetall(KEYS.counts) == {}  # type: ignore[misc]
    assert not await lanes.uncovered()


async def test_requests_of_an_outage_do_not_count_as_tries(lanes: Lanes) -> None:
    """After a dozen failed probes all changes are applied, with at most four tries."""
    await opened(lanes)
    for _ in range(12):
        (probe,), _ = await next_claims(lanes)
        await lanes.attempt(probe, "transient")
    await _recover(lanes)

    results = [await Producer(lanes.redis).job(f"j{n}").result(timeout=0) for n in range(USERS)]
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert max(result.tries for result in results) <= 4
    assert sum(attempt.outage for result in results for attempt in result.attempts) >= 12


async def _recover(lanes: Lanes, count: int = USERS) -> list[float]:
    """Answer with success from now on; return when each request was sent."""
    sent_s: list[float] = []
    while len(sent_s) < count:
        claims, _ = await next_claims(lanes)
        for claim in claims:
            sent_s.append(claim.slot_at_s)
            await lanes.attempt(claim)
    return sent_s


async def test_after_an_outage_the_backlog_is_sent_within_the_egress_limit(lanes: Lanes) -> None:
    """The first good reply closes the breaker; the backlog goes slot by slot."""
    await opened(lanes)
    (probe,), _ = await next_claims(lanes)
    settled = await lanes.attempt(probe, "permanent")
    sent_s = sorted(await _recover(lanes, USERS - 1))

    assert settled.breaker is BreakerEvent.CLOSED
    burst = PACING.egress_burst_us / 1e6
    for index, first in enumerate(sent_s):
        for number, slot in enumerate(sent_s[index:]):
            assert number <= (burst + slot - first) * 1e6 / PACING.egress_pace_us + 1


async def test_another_worker_probes_after_one_died_with_the_probe(lanes: Lanes) -> None:
    """When its session has lapsed, and its request can no longer be under way."""
    await opened(lanes)
    (probe,), _ = await next_claims(lanes)
    began_s = lanes.clock.monotonic()

    await lanes.lapse()
    lanes.claimer = lanes.new_claimer()
    (other,), _ = await next_claims(lanes)

    settings = lanes.settings
    lasts_s = settings.session_ttl_s + settings.connect_timeout_s + settings.request_timeout_s + PROBE_MARGIN_S
    assert other.egress_health is EgressHealth.PROBING
    assert lanes.clock.monotonic() - began_s == pytest.approx(lasts_s, abs=0.1)
    assert other.session_id != probe.session_id


async def test_an_unsent_probe_lets_another_go_at_once(lanes: Lanes) -> None:
    """As when its worker stops."""
    await opened(lanes)
    (probe,), _ = await next_claims(lanes)
    await lanes.back(probe, replied=False)

    (other,), waited_s = await next_claims(lanes)

    assert other.egress_health is EgressHealth.PROBING
    assert waited_s < 0.1


async def test_a_few_failing_users_without_others_do_not_delay_a_healthy_user(timed: Lanes, clock: ManualClock) -> None:
    """The healthy user's change is the next probe, and closes the breaker."""
    await timed.submit(*((f"sick{n}", change(f"sick{n}")) for n in range(3)), now_ms=clock.now_ms)
    await opened(timed)
    for _ in range(8):
        (probe,), _ = await next_claims(timed)
        await timed.attempt(probe, "transient")
    await timed.submit(("healthy", change("healthy")), now_ms=clock.now_ms)

    (probe,), waited_s = await next_claims(timed)
    settled = await timed.attempt(probe)

    assert (probe.job_id, settled.breaker) == ("healthy", BreakerEvent.CLOSED)
    assert waited_s <= FRESH_PAUSE_S + 0.1


async def test_a_late_reply_from_before_the_outage_does_not_close_the_breaker(lanes: Lanes) -> None:
    """Only the probe's reply does."""
    (early, *others) = await lanes.claim()
    for claim in others:
        await lanes.attempt(claim, "transient")
    settled = await lanes.attempt(early)

    assert settled.breaker is BreakerEvent.NONE
    assert await lanes.claim() == []


async def test_an_open_breaker_does_not_stop_another_egress(lanes: Lanes, clock: ManualClock) -> None:
    """The outage may be of one IP only."""
    elsewhere = Lanes(lanes.redis, clock=clock, pacing=PACING, settings=WorkerSettings(egress="elsewhere"))
    await elsewhere.claim(1)  # it was in use before
    await opened(lanes)
    clock.advance(0.3)

    assert len(await elsewhere.claim()) > 1


async def test_keys_of_many_users_rejected_with_one_code_open_the_breaker_and_end_no_more_changes(lanes: Lanes) -> None:
    """The first four end; the fifth is put back and no user is stopped: the fault is on our side."""
    settled = await opened(lanes, "credentials", code="40018")

    assert [one.finished for one in settled[:5]] == [1, 1, 1, 1, 0]
    assert settled[4].breaker is BreakerEvent.OPENED
    assert sum(one.finished for one in settled) == 4
    assert await lanes.redis.exists(KEYS.rejected_keys) == 0
    assert not await lanes.uncovered()


async def test_the_breaker_closes_when_keys_are_accepted_again(lanes: Lanes) -> None:
    """Each probe is of another user, so one user with bad keys does not keep it open."""
    await opened(lanes, "credentials", code="40018")
    probed = []
    for _ in range(3):
        (probe,), _ = await next_claims(lanes)
        probed.append(probe.job_id)
        assert (await lanes.attempt(probe, "credentials", code="40018")).finished == 0
    (probe,), _ = await next_claims(lanes)
    settled = await lanes.attempt(probe)

    assert len({*probed, probe.job_id}) == 4
    assert settled.breaker is BreakerEvent.CLOSED
    assert len((await next_claims(lanes))[0]) > 1


async def test_a_probe_whose_rejected_keys_were_replaced_meanwhile_leaves_the_breaker_as_it_is(lanes: Lanes) -> None:
    """The reply is about keys that are gone: neither that ours are accepted again, nor that they are still rejected."""
    await opened(lanes, "credentials", code="40018")
    pauses = []
    for _ in range(3):
        (probe,), waited_s = await next_claims(lanes)
        settled = await lanes.attempt(probe, "credentials", code="40018", keys_replaced=True)
        assert settled.breaker is BreakerEvent.NONE
        pauses.append(waited_s)

    assert max(pauses) <= 1.1, "its pause is the first one"
    (probe,), _ = await next_claims(lanes)
    assert probe.egress_health is EgressHealth.PROBING


async def test_keys_rejected_with_different_codes_do_not_open_the_breaker(lanes: Lanes) -> None:
    """Ten users, ten codes."""
    settled = [
        await lanes.attempt(claim, "credentials", code=str(40000 + number))
        for number, claim in enumerate(await lanes.claim())
    ]

    assert len(settled) >= 10
    assert all(one.finished == 1 for one in settled)


async def test_the_overview_shows_an_open_breaker_with_its_reason_and_next_probe(lanes: Lanes) -> None:
    """The first probe comes within a second."""
    await opened(lanes)

    (egress,) = (await Producer(lanes.redis).overview()).egresses

    assert egress.trouble == "failing"
    assert 0 < egress.probe_in_s <= 1

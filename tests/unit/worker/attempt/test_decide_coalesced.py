"""Decisions about coalesced changes: from what happened to what is settled."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from producers import Attempt, CopySetting, JobResult, Outcome, SettingsChange
from producers.contract import attempt_history
from producers.contract.attempt_history import AttemptHistory
from producers.contract.codec import encode_change
from tests.support.changes import attempt, setting
from tests.support.claims import ACCEPTED_MS, TTL_MS, claim
from worker.attempt.decide import MAX_LOST_DELIVERIES, ReadyAttempt, decide, validate_claim
from worker.queue.claims import Claim, Finish, Requeue, SentRequest, Settlement, Stored

NOW_MS = ACCEPTED_MS + 5_000


def payload(*settings: CopySetting, at_ms: int = ACCEPTED_MS, ttl_ms: int = TTL_MS) -> bytes:
    change = SettingsChange(user_id="1001", trader_id="t1", settings=list(settings))
    return encode_change(change, enqueued_at_ms=at_ms, ttl_ms=ttl_ms, coalesce=True)


ONE, OTHER = payload(setting(symbol="A")), payload(setting(symbol="B"))
REPLACING = payload(setting(symbol="A", trace_value="2"))


def claimed(
    *payloads: bytes, state: AttemptHistory | None = None, lost_deliveries: int = 0, job_id: str = "j0"
) -> Claim:
    first, *coalescable = payloads
    return claim(
        job_id=job_id,
        lost_deliveries=lost_deliveries,
        stored=Stored(first),
        history=None if state is None else attempt_history.encode(state),
        coalescable=tuple((f"j{number}", Stored(each)) for number, each in enumerate(coalescable, start=1)),
    )


def ready(*payloads: bytes, now_ms: int = NOW_MS, **changed: Any) -> Any:
    """Return a validated claim of changes j0, j1, ..."""
    return validate_claim(claimed(*payloads, **changed), now_ms)


def concluded(group: ReadyAttempt, verdict: str, *, max_tries: int = 0, **changed: Any) -> Settlement:
    """Return the settlement after a request of the group."""
    sent = SentRequest(Attempt(at_ms=NOW_MS, took_ms=20, verdict=verdict, **changed), ended_s=2.0, round_trip_s=0.02)
    return decide(group, sent, now_ms=NOW_MS, max_tries=max_tries)


def results(settlement: Settlement) -> list[JobResult]:
    """Return the results that a settlement writes, in the lane's order."""
    assert isinstance(settlement, Finish)
    return list(settlement.results)


@pytest.mark.parametrize(("verdict", "outcome"), [("success", Outcome.APPLIED), ("credentials", Outcome.UNAUTHORIZED)])
def test_each_change_of_a_group_gets_the_shared_verdict_under_its_own_id(verdict: str, outcome: Outcome) -> None:
    """Code, message, attempts and times are the same, and neither has a successor."""
    found = results(concluded(ready(ONE, OTHER), verdict, code="c", message="m"))

    assert [each.job_id for each in found] == ["j0", "j1"]
    for each in found:
        assert (each.outcome, each.code, each.message, each.tries) == (outcome, "c", "m", 1)
        assert (each.user_id, each.trader_id, each.successor) == ("1001", "t1", None)
        assert [one.verdict for one in each.attempts] == [verdict]
        assert (each.enqueued_at_ms, each.started_at_ms, each.finished_at_ms) == (ACCEPTED_MS, NOW_MS, NOW_MS)


def test_a_change_replaced_before_it_was_sent_is_superseded_by_its_successor() -> None:
    """Without code, attempt or start."""
    replaced, successor = results(concluded(ready(ONE, REPLACING), "success", code="00000"))

    assert (replaced.outcome, replaced.successor) == (Outcome.SUPERSEDED, "j1")
    assert (replaced.code, replaced.attempts, replaced.tries, replaced.started_at_ms) == (None, [], 0, None)
    assert "j1" in replaced.message
    assert (successor.outcome, successor.successor) == (Outcome.APPLIED, None)


def test_a_head_that_was_sent_is_never_superseded() -> None:
    """Its first request may have been applied, so it shares the verdict of its replacement."""
    first = concluded(ready(ONE), "ambiguous")

    found = results(concluded(ready(ONE, REPLACING, state=attempt_history.decode(first.history)), "success"))

    assert [each.outcome for each in found] == [Outcome.APPLIED, Outcome.APPLIED]
    assert [one.verdict for one in found[0].attempts] == ["ambiguous", "success"]


def test_a_member_that_was_sent_is_never_superseded_by_a_later_change() -> None:
    """Its first request may have been applied, so it shares the verdict of the next one."""
    first = concluded(ready(ONE, OTHER), "ambiguous")
    newcomer = payload(setting(symbol="B", trace_value="9"))

    found = results(concluded(ready(ONE, OTHER, newcomer, state=attempt_history.decode(first.history)), "success"))

    assert [each.outcome for each in found] == [Outcome.APPLIED] * 3


def test_a_later_change_does_not_get_attempts_from_before_it_was_coalesced() -> None:
    """The head has two attempts; the later change has the one that included it."""
    before = AttemptHistory(head="j0").with_attempt(attempt("transient", at_ms=ACCEPTED_MS + 100), ["j0"])
    newcomer = payload(setting(symbol="B"), at_ms=NOW_MS - 10)

    first, last = results(concluded(ready(ONE, newcomer, state=before), "success"))

    assert (len(first.attempts), first.tries, first.started_at_ms) == (2, 2, ACCEPTED_MS + 100)
    assert (len(last.attempts), last.tries, last.started_at_ms) == (1, 1, NOW_MS)


def test_a_rejected_group_is_put_back_to_be_sent_one_by_one() -> None:
    """One faulty setting must not fail the others."""
    settlement = concluded(ready(ONE, OTHER, REPLACING), "permanent", code="40017")

    assert isinstance(settlement, Requeue)
    assert (settlement.one_by_one, settlement.delay_s, settlement.hold_s) == (True, 0.0, 0.0)
    assert "one by one" in settlement.reason
    assert attempt_history.decode(settlement.history).tries == 1


def test_a_head_rejected_alone_ends_rejected() -> None:
    """No other setting can be the cause, so it is not sent again."""
    (only,) = results(concluded(ready(ONE), "permanent", code="40017"))

    assert (only.outcome, only.code) == (Outcome.REJECTED, "40017")


def test_a_group_that_fails_too_often_is_sent_one_by_one() -> None:
    """A fifth "fail" would reject it; the faulty change is found first."""
    before = AttemptHistory(attempts=[attempt("failed")] * 4, tries=4, first_sent_at_ms=7)

    settlement = concluded(ready(ONE, OTHER, state=before), "failed")

    assert isinstance(settlement, Requeue)
    assert settlement.one_by_one


@pytest.mark.parametrize("verdict", ["transient", "ambiguous", "failed", "clock_skew", "throttled"])
def test_a_group_worth_another_try_is_put_back_together(verdict: str) -> None:
    """Its history names all changes whose settings were sent."""
    settlement = concluded(ready(ONE, OTHER, REPLACING), verdict)

    assert isinstance(settlement, Requeue)
    state = attempt_history.decode(settlement.history)
    assert not settlement.one_by_one
    assert [state.was_sent(job_id) for job_id in ("j0", "j1", "j2")] == [False, True, True], "j0 was replaced before"
    assert state.tries == (verdict != "throttled")
    assert (settlement.hold_s > 0) == (verdict == "throttled")


def test_a_group_whose_head_has_no_time_left_loses_its_head_alone() -> None:
    """The others have deadlines of their own."""
    hasty = payload(setting(symbol="A"), ttl_ms=NOW_MS - ACCEPTED_MS + 10)

    (only,) = results(concluded(ready(hasty, OTHER), "transient"))

    assert (only.job_id, only.outcome) == ("j0", Outcome.EXHAUSTED)


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [({"now_ms": ACCEPTED_MS + 4_000}, Outcome.EXPIRED), ({"lost_deliveries": MAX_LOST_DELIVERIES}, Outcome.EXHAUSTED)],
    ids=["expired", "poison"],
)
def test_a_head_that_must_not_be_sent_ends_alone(changed: dict[str, Any], outcome: Outcome) -> None:
    """The change behind it stays in the lane and becomes its head."""
    hasty = payload(setting(symbol="A"), ttl_ms=4_000)

    settlement = ready(hasty, OTHER, **{"now_ms": ACCEPTED_MS + 100} | changed)

    assert [(each.job_id, each.outcome) for each in results(settlement)] == [("j0", outcome)]


def test_a_change_that_a_lost_worker_held_counts_as_sent() -> None:
    """It must not be reported as replaced before it was sent."""
    found = results(concluded(ready(ONE, REPLACING, lost_deliveries=1), "success"))

    assert [each.outcome for each in found] == [Outcome.APPLIED, Outcome.APPLIED]


def test_a_member_that_becomes_the_head_keeps_its_part_of_the_history() -> None:
    """The requests that included it; so it is neither expired nor superseded later."""
    first = concluded(ready(ONE, OTHER), "ambiguous")
    inherited = replace(claimed(OTHER, job_id="j1"), history=first.history)

    late = validate_claim(inherited, ACCEPTED_MS + TTL_MS)

    assert isinstance(late, Finish)
    (only,) = results(late)
    assert (only.job_id, only.outcome, only.tries) == ("j1", Outcome.EXHAUSTED, 1)
    assert [one.verdict for one in only.attempts] == ["ambiguous"]


def test_a_change_without_requests_that_becomes_the_head_has_no_history() -> None:
    """The stored history is that of the old head, so the new one expires without a start."""
    first = concluded(ready(ONE), "ambiguous")

    late = validate_claim(replace(claimed(OTHER, job_id="j1"), history=first.history), ACCEPTED_MS + TTL_MS)

    assert isinstance(late, Finish)
    (only,) = results(late)
    assert (only.outcome, only.attempts, only.started_at_ms) == (Outcome.EXPIRED, [], None)


def test_a_history_has_the_last_twenty_requests_and_the_changes_in_them() -> None:
    """Thirty tries are counted, but a change of a dropped request no longer counts as sent."""
    state = AttemptHistory(head="j0")
    for number in range(30):
        state = state.with_attempt(attempt(at_ms=number), ["j0", f"j{number}"])

    assert (len(state.attempts), state.tries, state.first_sent_at_ms) == (attempt_history.MAX_ATTEMPTS, 30, 0)
    assert (state.was_sent("j29"), state.was_sent("j10"), state.was_sent("j9")) == (True, True, False)
    assert attempt_history.decode(attempt_history.encode(state)) == state

"""The chaos run's judge: sound ledgers pass, and each kind of doctored ledger is found out by the check it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ops.chaos.checks import judge
from ops.chaos.evidence import BatchLedger, Change, Evidence, Stall
from ops.chaos.journal import Cancelled, Hostile, Read
from ops.exchange import Arrival
from ops.exchange.rules import SETTINGS
from producers import JobResult, Outcome
from tests.support.changes import attempt, result

S = 1_000_000_000
LANE = ("u", "t")
Doctoring = Callable[[Evidence], object]


def change(number: int, **changed: Any) -> Change:
    """The n-th change of the lane: asked for and accepted n seconds after the start."""
    fields: dict[str, Any] = {
        "job_id": f"c{number}",
        "user": "u",
        "trader": "t",
        "mark": str(number),
        "symbols": ("BTCUSDT",),
        "producer": 0,
        "step": number,
        "place": 0,
        "asked_ns": number * S,
        "told_ns": number * S + 1,
    }
    return Change(**(fields | changed))


def arrival(number: int, at_s: float, **changed: Any) -> Arrival:
    """A request that carried the n-th change, granted after 10 ms."""
    fields: dict[str, Any] = {
        "at_ns": round(at_s * S),
        "answered_ns": round((at_s + 0.01) * S),
        "user": "u",
        "method": "POST",
        "path": SETTINGS,
        "trader": "t",
        "values": (str(number),),
        "status": 200,
        "code": "00000",
        "accepted": True,
    }
    return Arrival(**(fields | changed))


def ended(number: int, outcome: Outcome = Outcome.APPLIED, **changed: Any) -> JobResult:
    """How the n-th change ended."""
    fields = {"user_id": "u", "trader_id": "t", "finished_at_ms": (10 + number) * 1000 + 10}
    return result(f"c{number}", outcome, **(fields | changed))


def sound() -> Evidence:
    """Three changes of one lane and a batch of two, all applied at the first request."""
    changes = [change(1), change(2), change(3)]
    changes += [change(4, job_id="b//0", user="v"), change(5, job_id="b//1", user="w")]
    arrivals = [arrival(n, 10 + n) for n in (1, 2, 3)]
    arrivals += [arrival(4, 14, user="v"), arrival(5, 15, user="w")]
    results = {f"c{n}": ended(n) for n in (1, 2, 3)}
    for number, job_id, user in ((4, "b//0", "v"), (5, "b//1", "w")):
        results[job_id] = msgspec.structs.replace(ended(number), job_id=job_id, user_id=user)
    stream = [("b//0", "applied"), ("b//1", "applied")]
    return Evidence(
        changes={one.job_id: one for one in changes},
        results=results,
        written=dict.fromkeys(results, 1),
        counted={"applied": 5},
        batches=[BatchLedger("b", 2, 0, {"applied": 2}, complete=True, sealed=True, stream=stream, ends=1)],
        arrivals=arrivals,
        kept={(LANE, "BTCUSDT"): "3", (("v", "t"), "BTCUSDT"): "4", (("w", "t"), "BTCUSDT"): "5"},
        read={0: [Read("b", job_id, outcome, "1-1") for job_id, outcome in stream]},
        read_all={0: {"b"}},
        hostile=[Hostile("no user", "InvalidChange: userId: must be something else")],
    )


def broken(seen: Evidence) -> set[str]:
    """The promises that were not kept."""
    return {verdict.promise for verdict in judge(seen).verdicts if not verdict.holds}


def with_change(seen: Evidence, number: int, **changed: Any) -> Evidence:
    """Something else is known of the n-th change."""
    seen.changes[f"c{number}"] = replace(seen.changes[f"c{number}"], **changed)
    return seen


def with_result(seen: Evidence, number: int, outcome: Outcome, **changed: Any) -> Evidence:
    """The n-th change ended otherwise, and the counters say so."""
    seen.results[f"c{number}"] = ended(number, outcome, **changed)
    seen.counted = {"applied": 4, str(outcome): 1} if outcome is not Outcome.APPLIED else {"applied": 5}
    return seen


def ends(seen: Evidence, number: int, at_s: float) -> None:
    """The n-th change ended at another time."""
    job_id = f"c{number}"
    seen.results[job_id] = msgspec.structs.replace(seen.results[job_id], finished_at_ms=round(at_s * 1000))


def with_batch(seen: Evidence, **changed: Any) -> None:
    """Redis says something else of the batch."""
    seen.batches = [replace(seen.batches[0], **changed)]


def test_sound_ledgers_break_no_promise() -> None:
    """What every doctored one below differs from."""
    assert broken(sound()) == set()


DOCTORED: dict[str, tuple[str, Doctoring]] = {
    "an accepted change has no result": ("nothing is lost", lambda e: e.results.pop("c3")),
    "a change that was sent has none, though nobody was told": (
        "nothing is lost",
        lambda e: (with_change(e, 3, told_ns=None), e.results.pop("c3")),
    ),
    "the queue never drained": ("nothing is lost", lambda e: setattr(e, "drained_s", None)),
    "a result was written twice": ("one outcome each", lambda e: e.written.update(c1=2)),  # type: ignore[attr-defined]
    "a result is nobody's": ("one outcome each", lambda e: e.results.update(x=ended(9))),
    "a result came from nowhere": ("one outcome each", lambda e: e.written.pop("c1")),  # type: ignore[attr-defined]
    "a payload was left": ("nothing is left behind", lambda e: e.left.append("b'arq:job:c1'")),
    "a counter is too high": ("counters agree with results", lambda e: setattr(e, "counted", {"applied": 6})),
    "a batch counts too few": ("batches agree with results", lambda e: with_batch(e, outcomes={"applied": 1})),
    "a batch's stream lacks a result": (
        "batches agree with results",
        lambda e: with_batch(e, stream=[("b//0", "applied")]),
    ),
    "a batch's stream has one twice": (
        "batches agree with results",
        lambda e: with_batch(e, stream=[("b//0", "applied"), ("b//0", "applied"), ("b//1", "applied")]),
    ),
    "a batch's stream tells otherwise": (
        "batches agree with results",
        lambda e: with_batch(e, stream=[("b//0", "applied"), ("b//1", "expired")]),
    ),
    "a batch is in flight for ever": ("batches agree with results", lambda e: with_batch(e, in_flight=1)),
    "a batch never tells its end": ("batches agree with results", lambda e: with_batch(e, complete=False, ends=0)),
    "a batch is forgotten": ("batches agree with results", lambda e: setattr(e, "batches", [])),
    "a reader got a result twice": (
        "readers get each result once",
        lambda e: e.read[0].append(Read("b", "b//0", "applied", "9-9")),
    ),
    "a reader missed one": ("readers get each result once", lambda e: e.read[0].pop()),
    "a reader was told otherwise": (
        "readers get each result once",
        lambda e: e.read[0].__setitem__(0, Read("b", "b//0", "expired", "1-1")),
    ),
    "what was told cancelled was applied": (
        "what was taken back is",
        lambda e: e.taken_back.append(Cancelled("c1", "cancelled")),
    ),
    "applied, but never granted": (
        "each outcome has its reason",
        lambda e: setattr(e.arrivals[0], "accepted", False),
    ),
    "applied, but never sent": ("each outcome has its reason", lambda e: e.arrivals.pop(0)),
    "applied, though it must be refused": (
        "each outcome has its reason",
        lambda e: with_change(e, 1, is_bold=True),
    ),
    "rejected for nothing": ("each outcome has its reason", lambda e: with_result(e, 1, Outcome.REJECTED)),
    "unauthorized with good keys": ("each outcome has its reason", lambda e: with_result(e, 1, Outcome.UNAUTHORIZED)),
    "expired before its time": ("each outcome has its reason", lambda e: with_result(e, 1, Outcome.EXPIRED)),
    "expired as never sent, though it was": (
        "each outcome has its reason",
        lambda e: (with_change(e, 1, ttl_s=1.0), with_result(e, 1, Outcome.EXPIRED)),
    ),
    "exhausted before its time": ("each outcome has its reason", lambda e: with_result(e, 1, Outcome.EXHAUSTED)),
    "superseded by one that does not join": (
        "each outcome has its reason",
        lambda e: (e.arrivals.pop(0), with_result(e, 1, Outcome.SUPERSEDED, successor="c2")),
    ),
    "the last change was not applied": (
        "each outcome has its reason",
        lambda e: (with_change(e, 3, is_last=True), with_result(e, 3, Outcome.CANCELLED)),
    ),
    "a result of another user": (
        "each outcome has its reason",
        lambda e: with_result(e, 1, Outcome.APPLIED, user_id="somebody"),
    ),
    "eleven requests in a second": (
        "no more than a user may",
        lambda e: e.arrivals.extend(arrival(3, 20 + n * 0.0999) for n in range(11)),
    ),
    "too many requests in a minute": ("no more than an address may", lambda e: setattr(e, "egress_per_min", 4)),
    "a hostile call was accepted": ("foes get nowhere", lambda e: e.hostile.append(Hostile("no user", ""))),
    "a hostile call broke something": (
        "foes get nowhere",
        lambda e: e.hostile.append(Hostile("no user", "! RecursionError: too deep")),
    ),
    "poison has no outcome": ("foes get nowhere", lambda e: e.poison.append("foe-1")),
    "poison was applied": ("foes get nowhere", lambda e: e.poison.append("c1")),
    "somebody unpickled": ("foes get nowhere", lambda e: setattr(e, "trapped", True)),
    "a value that nobody asked for was sent": (
        "foes get nowhere",
        lambda e: e.arrivals.append(arrival(77, 30)),
    ),
    "a worker ended by itself": ("nobody dies by himself", lambda e: e.lost.append("worker 0 ended with status 1")),
    "a producer met another error": ("nobody dies by himself", lambda e: e.surprises.append("KeyError")),
    "a key is in a log": ("no secret is anywhere", lambda e: e.leaks.append("sk-... in worker-0.log")),
    "a change was sent again after a later one": (
        "lanes kept their order",
        lambda e: e.arrivals.append(arrival(1, 30)),
    ),
    "a change was sent when it had ended": (
        "nothing is sent after its end",
        lambda e: e.arrivals.append(arrival(3, 20)),
    ),
    "a change overtook an earlier one": (
        "lanes kept their order",
        lambda e: e.arrivals.__setitem__(slice(0, 2), [arrival(2, 11), arrival(1, 12)]),
    ),
    "two requests of a lane at once": (
        "one request of a lane at a time",
        lambda e: e.arrivals.insert(1, arrival(1, 11.005)),
    ),
    "the exchange holds an older value": (
        "the exchange keeps what was applied last",
        lambda e: setattr(e, "kept", {**e.kept, (LANE, "BTCUSDT"): "2"}),
    ),
    "the exchange holds what nobody asked for": (
        "the exchange keeps what was applied last",
        lambda e: setattr(e, "kept", {**e.kept, (LANE, "BTCUSDT"): "99"}),
    ),
}


@pytest.mark.parametrize("what", DOCTORED)
def test_a_doctored_ledger_is_found_out(what: str) -> None:
    """By the check that is there for it, with an explanation."""
    promise, doctor = DOCTORED[what]
    seen = sound()
    doctor(seen)

    assert promise in broken(seen)
    assert all(text for verdict in judge(seen).verdicts for text in verdict.violations)


def test_every_check_can_fail() -> None:
    """There is a doctored ledger for each promise."""
    assert {promise for promise, _ in DOCTORED.values()} == {verdict.promise for verdict in judge(sound()).verdicts}


def test_what_may_or_may_not_be_accepted_may_be_absent() -> None:
    """A producer that died in its call was told nothing; no trace of the change is right, too."""
    seen = sound()
    with_change(seen, 3, told_ns=None)
    del seen.results["c3"]
    del seen.arrivals[2]
    seen.counted = {"applied": 4}
    seen.kept = {**seen.kept, (LANE, "BTCUSDT"): "2"}

    assert broken(seen) == set()


def test_changes_of_calls_that_overlapped_have_no_order() -> None:
    """Neither producer knew of the other's when it asked."""
    seen = sound()
    with_change(seen, 2, asked_ns=S, producer=1)
    seen.arrivals[0].values, seen.arrivals[1].values = ("2",), ("1",)
    ends(seen, 1, 12.01)
    ends(seen, 2, 11.01)

    assert broken(seen) == set()


def test_a_change_that_is_repeated_before_a_later_one_is_in_order() -> None:
    """At least once: after a time-out or a crash a request is sent again."""
    seen = sound()
    seen.arrivals.insert(1, arrival(1, 11.5))
    ends(seen, 1, 11.51)

    assert broken(seen) == set()


def test_a_request_may_follow_one_that_nobody_waits_for_any_more() -> None:
    """It timed out at the worker, while the exchange still held it."""
    seen = sound()
    seen.arrivals[0].answered_ns = 14 * S
    seen.arrivals[0].accepted = False
    seen.arrivals.insert(1, arrival(1, 12.6))
    seen.arrivals[2].at_ns += S
    ends(seen, 1, 12.61)
    ends(seen, 2, 13.01)

    assert broken(seen) == set()


def test_changes_that_were_sent_together_may_be_sent_one_by_one_afterwards() -> None:
    """As after a refusal of the shared request: only a request without the earlier one goes before it."""
    seen = sound()
    for number in (1, 2):
        with_change(seen, number, coalesces=True)
    seen.arrivals.insert(0, arrival(1, 10.5, values=("1", "2"), accepted=False))

    assert broken(seen) == set()


def test_what_a_withdrawn_change_had_replaced_is_sent_after_all() -> None:
    """It was in a shared request that failed, and its deadline passed: the changes before it are due again."""
    seen = sound()
    with_change(seen, 2, coalesces=True, ttl_s=1.0)
    with_result(seen, 2, Outcome.EXHAUSTED)
    seen.arrivals[0:2] = [arrival(2, 11, accepted=False), arrival(1, 12)]
    ends(seen, 1, 12.01)
    seen.kept = {**seen.kept, (LANE, "BTCUSDT"): "3"}

    assert broken(seen) == set()


def test_what_an_applied_change_had_replaced_is_not_sent_any_more() -> None:
    """The exchange would end with the older value."""
    seen = sound()
    with_change(seen, 2, coalesces=True)
    seen.arrivals[0:2] = [arrival(2, 11), arrival(1, 12)]

    assert "lanes kept their order" in broken(seen)


def test_a_change_whose_successor_was_granted_is_applied() -> None:
    """It was sent before with no answer, then replaced in the request that was granted; chains are followed."""
    seen = sound()
    with_change(seen, 2, coalesces=True)
    seen.arrivals[0].accepted = False
    with_result(seen, 1, Outcome.APPLIED, successor="c2")

    assert broken(seen) == set()


def stalled(seen: Evidence, until_s: float) -> Evidence:
    """A worker stood still for longer than its lease, until then."""
    seen.stalls = [Stall("worker 0", round((until_s - 5) * S), round(until_s * S))]
    return seen


def test_one_request_of_a_worker_that_was_stopped_in_mid_send_is_excused() -> None:
    """The documented case: the process was stopped between its look at the lease and the write."""
    seen = stalled(sound(), 30)
    seen.arrivals.append(arrival(1, 30.1))
    seen.kept = {**seen.kept, (LANE, "BTCUSDT"): "1"}

    assert broken(seen) == set()


def test_a_second_lane_is_not_excused_by_the_same_stall() -> None:
    """A process has one thread, which is stopped in the middle of one request."""
    seen = stalled(sound(), 30)
    seen.changes["d1"] = change(6, job_id="d1", user="x")
    seen.changes["d2"] = change(7, job_id="d2", user="x")
    for number in (6, 7):
        job_id = f"d{number - 5}"
        seen.results[job_id] = result(job_id, user_id="x", trader_id="t")
        seen.arrivals.append(arrival(number, 10 + number, user="x"))
    seen.arrivals += [arrival(1, 30.1), arrival(6, 30.2, user="x")]

    assert "lanes kept their order" in broken(seen)


def test_a_late_request_long_after_a_stall_is_not_excused() -> None:
    """What was about to be written is written at once."""
    seen = stalled(sound(), 30)
    seen.arrivals.append(arrival(1, 31))

    assert "lanes kept their order" in broken(seen)


def test_five_times_fail_is_a_rejection() -> None:
    """The exchange answered success with data "fail" each time."""
    seen = sound()
    seen.arrivals[0].accepted = False
    with_result(seen, 1, Outcome.REJECTED, attempts=[attempt("failed") for _ in range(5)])

    assert broken(seen) == set()


def test_ledgers_can_be_told_as_data() -> None:
    """For programs."""
    assert msgspec.json.encode(
        [{"promise": one.promise, "violations": one.violations} for one in judge(sound()).verdicts]
    )

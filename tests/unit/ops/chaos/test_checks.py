"""The judge of the chaos run: sound evidence passes, and each kind of falsified evidence fails the check for it."""

from __future__ import annotations

import pytest

from ops.chaos.checks import judge
from ops.chaos.journal import Cancelled, Read
from producers import Outcome
from tests.support.chaos_evidence import (
    Falsify,
    arrival,
    broken,
    ended,
    holding,
    sound,
    with_batch,
    with_change,
    with_result,
    written,
)


def test_sound_evidence_fails_no_check() -> None:
    """The falsified evidence below differs from it."""
    assert broken(sound()) == set()


FALSIFIED: dict[str, tuple[str, Falsify]] = {
    "an accepted change has no result": ("nothing is lost", lambda e: e.results.pop("c3")),
    "a change that was sent has none, though it was not reported as accepted": (
        "nothing is lost",
        lambda e: (with_change(e, 3, accepted_ns=None), e.results.pop("c3")),
    ),
    "the queue never drained": ("nothing is lost", lambda e: setattr(e, "drained_s", None)),
    "a result was written twice": (
        "one outcome each",
        lambda e: written(e, c1=2),
    ),
    "a result of a change that was not requested": ("one outcome each", lambda e: e.results.update(x=ended(9))),
    "a result came from nowhere": (
        "one outcome each",
        lambda e: written(e, c1=0),
    ),
    "a payload was left": ("nothing is left behind", lambda e: e.leftovers.append("b'arq:job:c1'")),
    "a counter is too high": ("counters agree with results", lambda e: setattr(e, "counters", {"applied": 6})),
    "a batch counts too few": ("batches agree with results", lambda e: with_batch(e, outcomes={"applied": 1})),
    "a batch's stream lacks a result": (
        "batches agree with results",
        lambda e: with_batch(e, stream=[("b..0", "applied")]),
    ),
    "a batch's stream has one twice": (
        "batches agree with results",
        lambda e: with_batch(e, stream=[("b..0", "applied"), ("b..0", "applied"), ("b..1", "applied")]),
    ),
    "a batch's stream has another outcome": (
        "batches agree with results",
        lambda e: with_batch(e, stream=[("b..0", "applied"), ("b..1", "expired")]),
    ),
    "a batch is in flight for ever": ("batches agree with results", lambda e: with_batch(e, in_flight=1)),
    "a batch's stream never ends": (
        "batches agree with results",
        lambda e: with_batch(e, complete=False, ends=0),
    ),
    "a batch does not exist": ("batches agree with results", lambda e: setattr(e, "batches", [])),
    "a reader got a result twice": (
        "readers get each result once",
        lambda e: e.read[0].append(Read("b", "b..0", "applied", "9-9")),
    ),
    "a reader missed one": ("readers get each result once", lambda e: e.read[0].pop()),
    "a reader got another outcome": (
        "readers get each result once",
        lambda e: e.read[0].__setitem__(0, Read("b", "b..0", "expired", "1-1")),
    ),
    "a cancelled change was applied": (
        "cancelled changes end cancelled",
        lambda e: e.cancelled.append(Cancelled("c1", "cancelled")),
    ),
    "applied, but never granted": (
        "each outcome has its cause",
        lambda e: setattr(e.arrivals[0], "accepted", False),
    ),
    "applied, but never sent": ("each outcome has its cause", lambda e: e.arrivals.pop(0)),
    "applied, though it must be refused": (
        "each outcome has its cause",
        lambda e: with_change(e, 1, must_be_rejected=True),
    ),
    "rejected for nothing": ("each outcome has its cause", lambda e: with_result(e, 1, Outcome.REJECTED)),
    "unauthorized with good keys": ("each outcome has its cause", lambda e: with_result(e, 1, Outcome.UNAUTHORIZED)),
    "expired before its time": ("each outcome has its cause", lambda e: with_result(e, 1, Outcome.EXPIRED)),
    "expired as never sent, though it was": (
        "each outcome has its cause",
        lambda e: (with_change(e, 1, ttl_s=1.0), with_result(e, 1, Outcome.EXPIRED)),
    ),
    "exhausted before its time": ("each outcome has its cause", lambda e: with_result(e, 1, Outcome.EXHAUSTED)),
    "superseded by one that does not join": (
        "each outcome has its cause",
        lambda e: (e.arrivals.pop(0), with_result(e, 1, Outcome.SUPERSEDED, successor="c2")),
    ),
    "the last change was not applied": (
        "each outcome has its cause",
        lambda e: (with_change(e, 3, is_final=True), with_result(e, 3, Outcome.CANCELLED)),
    ),
    "a result of another user": (
        "each outcome has its cause",
        lambda e: with_result(e, 1, Outcome.APPLIED, user_id="somebody"),
    ),
    "eleven requests in a second": (
        "user limit",
        lambda e: e.arrivals.extend(arrival(3, 20 + n * 0.0999) for n in range(11)),
    ),
    "too many requests in a minute": ("address limit", lambda e: setattr(e, "address_limit_per_min", 4)),
    "poison has no outcome": ("malformed data does no harm", lambda e: e.poison.append("poison-1")),
    "poison was applied": ("malformed data does no harm", lambda e: e.poison.append("c1")),
    "a process unpickled a payload": ("malformed data does no harm", lambda e: setattr(e, "unpickled", True)),
    "a value that nobody requested was sent": (
        "malformed data does no harm",
        lambda e: e.arrivals.append(arrival(77, 30)),
    ),
    "a worker ended by itself": ("no process fails", lambda e: e.exited.append("worker 0 ended with status 1")),
    "a producer got an undocumented error": ("no process fails", lambda e: e.unexpected_errors.append("KeyError")),
    "a key is in a log": ("no secret leaks", lambda e: e.leaks.append("sk-... in worker-0.log")),
    "a change was sent again after a later one": (
        "lanes keep their order",
        lambda e: e.arrivals.append(arrival(1, 30)),
    ),
    "a change was sent when it had ended": (
        "nothing is sent after its end",
        lambda e: e.arrivals.append(arrival(3, 20)),
    ),
    "a change overtook an earlier one": (
        "lanes keep their order",
        lambda e: e.arrivals.__setitem__(slice(0, 2), [arrival(2, 11), arrival(1, 12)]),
    ),
    "two requests of a lane at once": (
        "one request of a lane at a time",
        lambda e: e.arrivals.insert(1, arrival(1, 11.005)),
    ),
    "the exchange holds an older value": (
        "the exchange holds what was applied last",
        lambda e: holding(e, 2),
    ),
    "the exchange holds a value that nobody requested": (
        "the exchange holds what was applied last",
        lambda e: holding(e, 99),
    ),
}


@pytest.mark.parametrize("what", FALSIFIED)
def test_falsified_evidence_fails_its_check(what: str) -> None:
    """With an explanation."""
    name, falsify = FALSIFIED[what]
    seen = sound()
    falsify(seen)

    assert name in broken(seen)
    assert all(text for verdict in judge(seen).verdicts for text in verdict.violations)


def test_every_check_can_fail() -> None:
    """There is falsified evidence for each guarantee."""
    assert {name for name, _ in FALSIFIED.values()} == {verdict.name for verdict in judge(sound()).verdicts}

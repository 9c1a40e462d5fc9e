"""The demo's verdicts: sound evidence passes, and each kind of broken evidence fails its own check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ops.demo.checks import check_all
from ops.demo.evidence import Evidence, Refused
from ops.demo.scenario import Planned, make
from ops.exchange import Arrival, Fault
from ops.exchange.rules import SETTINGS_PATH
from ops.ledger.evidence import Change
from producers import Attempt, CopySetting, JobResult, Outcome, SettingsChange

TRADER = "trader"
STEP_NS = 100_000_000
DENSE_NS = 50_000_000


def change(user: str, value: str) -> SettingsChange:
    """Return a change that is known by its trace value."""
    setting = CopySetting(
        symbol="BTCUSDT",
        product_type="USDT-FUTURES",
        margin_type="trader",
        lever_type="trader",
        trace_type="amount",
        trace_value=value,
    )
    return SettingsChange(user_id=user, trader_id=TRADER, settings=[setting])


def arrivals_of(*requests: tuple[str, str], step_ns: int = STEP_NS) -> list[Arrival]:
    """Return requests (user, trace value), one every `step_ns`, all granted except Bob's first."""
    arrivals: list[Arrival] = []
    for number, (user, value) in enumerate(requests):
        struck = user == "bob" and not any(earlier.user == "bob" for earlier in arrivals)
        arrivals.append(
            Arrival(
                at_ns=number * step_ns,
                user=user,
                method="POST",
                path=SETTINGS_PATH,
                trader=TRADER,
                values=(value,),
                accepted=not struck,
                fault="http_500" if struck else "",
            )
        )
    return arrivals


SOUND = (("alice", "1"), ("bob", "7"), ("alice", "2"), ("alice", "2"), ("bob", "7"), ("alice", "3"))


def with_requests(evidence: Evidence, *requests: tuple[str, str], step_ns: int = STEP_NS) -> Evidence:
    """Return the evidence as if the exchange had seen these requests."""
    return replace(evidence, arrivals=arrivals_of(*requests, step_ns=step_ns))


def with_outcome(evidence: Evidence, job_id: str, outcome: Outcome) -> Evidence:
    """Return the evidence as if a change had ended in another way."""
    result = msgspec.structs.replace(evidence.results[job_id], outcome=outcome)
    return replace(evidence, results={**evidence.results, job_id: result})


def with_settings(evidence: Evidence, user: str, value: str) -> Evidence:
    """Return the evidence as if the exchange held other settings for a user."""
    (setting,) = msgspec.to_builtins(change(user, value).settings)
    return replace(evidence, final_settings={**evidence.final_settings, ((user, TRADER), "BTCUSDT"): setting})


@pytest.fixture
def sound() -> Evidence:
    """Three changes of Alice in a lane, the second one retried; one of Bob, struck by a fault; one of Eve, keyless."""
    plans = {
        "a1": Planned(change("alice", "1")),
        "a2": Planned(change("alice", "2")),
        "a3": Planned(change("alice", "3")),
        "b": Planned(change("bob", "7")),
        "e": Planned(change("eve", "7"), Outcome.UNAUTHORIZED, "no keys"),
    }
    attempts = [Attempt(at_ms=1, took_ms=1, verdict="transient"), Attempt(at_ms=2, took_ms=1, verdict="success")]
    results = {
        job_id: JobResult(
            job_id=job_id,
            user_id=planned.change.user_id,
            trader_id=TRADER,
            outcome=planned.expected or Outcome.REJECTED,
            attempts=attempts,
            started_at_ms=None if planned.flaw else 1,
        )
        for job_id, planned in plans.items()
    }
    evidence = Evidence(
        faults=[Fault("http_500", user="bob", first=1), Fault("cut", probability=0.5, user="alice", first=1)],
        planned=plans,
        changes={
            job_id: Change(job_id, planned.change, position=position)
            for position, (job_id, planned) in enumerate(plans.items())
        },
        misconfigured_users={"eve"},
        refused=[Refused(Planned(change("mallory", "1"), None, "nonsense"), "no")],
        results=results,
        counters={"applied": 4, "unauthorized": 1},
        arrivals=arrivals_of(*SOUND),
    )
    return with_settings(with_settings(evidence, "alice", "3"), "bob", "7")


def test_sound_evidence_passes_every_check(sound: Evidence) -> None:
    """Retries, faults that may strike or not, and flawed changes break nothing."""
    assert [check.name for check in check_all(sound) if not check.holds] == []


BROKEN: dict[str, tuple[str, Callable[[Evidence], Evidence], str]] = {
    "11 requests within a second": (
        "paced",
        lambda sound: with_requests(sound, *SOUND[:-1], *[("alice", "3")] * 11, step_ns=DENSE_NS),
        "alice had 14 requests within 750.0 ms",
    ),
    "a request that the exchange refused as over a limit": (
        "paced",
        lambda sound: replace(
            sound, arrivals=[msgspec.structs.replace(sound.arrivals[0], throttled=True), *sound.arrivals[1:]]
        ),
        "refused 1 requests as over a limit",
    ),
    "a later change before an earlier one": (
        "ordered",
        lambda sound: with_requests(sound, ("bob", "7"), ("bob", "7"), ("alice", "2"), ("alice", "1"), ("alice", "3")),
        "a1 of alice, trader was sent at 0.300 s, after a2",
    ),
    "a retry after the change that follows it": (
        "ordered",
        lambda sound: with_requests(sound, *SOUND, ("alice", "2")),
        "a2 of alice, trader was sent at 0.600 s, after a3",
    ),
    "a change that never arrived": (
        "as expected",
        lambda sound: with_requests(sound, *SOUND[:-1]),
        "a3 of alice, trader ended applied () after 0 requests",
    ),
    "a change without a result": (
        "one result each",
        lambda sound: replace(sound, results={key: sound.results[key] for key in ("a1", "a2", "a3", "e")}),
        "b of bob, trader was accepted at 0.000 s and has no result",
    ),
    "an outcome that was counted twice": (
        "one result each",
        lambda sound: replace(sound, counters={"applied": 5, "unauthorized": 1}),
        "'applied': 5",
    ),
    "a flawed change that was applied": (
        "as expected",
        lambda sound: with_outcome(sound, "e", Outcome.APPLIED),
        "eve ended applied, not unauthorized",
    ),
    "a sound change that the producer refused": (
        "as expected",
        lambda sound: replace(sound, refused=[Refused(Planned(change("carol", "1")), "lane full")]),
        "carol was refused: lane full",
    ),
    "settings of an earlier change at the exchange": (
        "kept",
        lambda sound: with_settings(sound, "alice", "2"),
        "although a3 of alice, trader was applied after it",
    ),
    "settings of a user whose change was not applied": (
        "kept",
        lambda sound: with_settings(sound, "eve", "7"),
        "the exchange holds e of eve, trader for BTCUSDT, although it accepted no request with it",
    ),
    "no settings of an applied change": (
        "kept",
        lambda sound: replace(sound, final_settings={}),
        "the exchange holds nothing for BTCUSDT, although a1 of alice, trader was applied",
    ),
    "settings with a field that nobody requested": (
        "kept",
        lambda sound: replace(
            sound,
            final_settings={key: {**held, "longLeverage": "5"} for key, held in sound.final_settings.items()},
        ),
        "which nobody requested",
    ),
    "a fault that did not strike": (
        "tested",
        lambda sound: with_requests(sound, *(request for request in SOUND if request[0] == "alice")),
        "bob did not meet http_500",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_evidence_fails_its_check(sound: Evidence, case: str) -> None:
    """The check that is meant for it fails, and says what broke it."""
    name, breaking, message = BROKEN[case]
    verdicts = {check.name: check for check in check_all(breaking(sound))}
    assert not verdicts[name].holds
    assert message in verdicts[name].detail


def test_many_violations_are_counted(sound: Evidence) -> None:
    """The first ones are listed, so that a verdict stays readable."""
    sound.refused = [Refused(Planned(change(f"carol-{number}", "1")), "lane full") for number in range(5)]
    verdicts = {check.name: check for check in check_all(sound)}
    assert verdicts["as expected"].detail.endswith("carol-2 was refused: lane full; and 2 more")


def test_the_same_seed_makes_the_same_scenario() -> None:
    """Another seed strikes others."""
    sizes: dict[str, Any] = {"followers": 100, "lane": 10}
    assert make(**sizes, seed=1) == make(**sizes, seed=1)
    assert make(**sizes, seed=1).faults != make(**sizes, seed=2).faults


def test_the_faults_of_a_scenario_end() -> None:
    """Each is bounded and strikes a user of its own, and no more users are throttled than one address bears."""
    faults = [fault for fault in make(followers=1_000, lane=10, seed=1).faults if fault.probability == 1]
    assert all(fault.first == 1 for fault in faults)
    assert len({fault.user for fault in faults}) == len(faults)
    assert sum(fault.kind == "http_429" for fault in faults) == 2

"""Evidence of a chaos run in which everything is right, for tests that falsify it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from ops.chaos.checks import judge
from ops.chaos.evidence import BatchState, Evidence
from ops.chaos.journal import Read
from ops.exchange import Arrival
from ops.exchange.rules import SETTINGS_PATH
from ops.ledger.evidence import Change
from producers import CopySetting, JobResult, Outcome, SettingsChange
from tests.support.changes import result

S = 1_000_000_000
LANE = ("u", "t")
Falsify = Callable[[Evidence], object]


def settings_change(number: int, user: str = "u") -> SettingsChange:
    """Return a change that is known by its trace value."""
    setting = CopySetting(
        symbol="BTCUSDT",
        product_type="USDT-FUTURES",
        margin_type="trader",
        lever_type="trader",
        trace_type="amount",
        trace_value=str(number),
    )
    return SettingsChange(user_id=user, trader_id="t", settings=[setting])


def setting(number: int) -> dict[str, str]:
    """Return the setting of the n-th change, as the exchange holds it."""
    (held,) = msgspec.to_builtins(settings_change(number).settings)
    return dict(held)


def change(number: int, user: str = "u", **changed: Any) -> Change:
    """Return the n-th change of a lane: requested and accepted n seconds after the start."""
    fields: dict[str, Any] = {
        "job_id": f"c{number}",
        "change": settings_change(number, user),
        "call": (0, number),
        "requested_ns": number * S,
        "accepted_ns": number * S + 1,
    }
    return Change(**(fields | changed))


def arrival(number: int, at_s: float, **changed: Any) -> Arrival:
    """Return a request that carried the n-th change, granted after 10 ms."""
    fields: dict[str, Any] = {
        "at_ns": round(at_s * S),
        "answered_ns": round((at_s + 0.01) * S),
        "user": "u",
        "method": "POST",
        "path": SETTINGS_PATH,
        "trader": "t",
        "values": (str(number),),
        "status": 200,
        "code": "00000",
        "accepted": True,
    }
    return Arrival(**(fields | changed))


def ended(number: int, outcome: Outcome = Outcome.APPLIED, **changed: Any) -> JobResult:
    """Return the result of the n-th change."""
    fields = {"user_id": "u", "trader_id": "t", "finished_at_ms": (10 + number) * 1000 + 10}
    return result(f"c{number}", outcome, **(fields | changed))


def sound() -> Evidence:
    """Return three changes of one lane and a batch of two, all applied at the first request."""
    changes = [change(1), change(2), change(3), change(4, "v", job_id="b..0"), change(5, "w", job_id="b..1")]
    arrivals = [arrival(n, 10 + n) for n in (1, 2, 3)]
    arrivals += [arrival(4, 14, user="v"), arrival(5, 15, user="w")]
    results = {f"c{n}": ended(n) for n in (1, 2, 3)}
    for number, job_id, user in ((4, "b..0", "v"), (5, "b..1", "w")):
        results[job_id] = msgspec.structs.replace(ended(number), job_id=job_id, user_id=user)
    stream = [("b..0", "applied"), ("b..1", "applied")]
    return Evidence(
        changes={one.job_id: one for one in changes},
        results=results,
        written=dict.fromkeys(results, 1),
        counters={"applied": 5},
        batches=[BatchState("b", 2, 0, {"applied": 2}, complete=True, sealed=True, stream=stream, ends=1)],
        arrivals=arrivals,
        final_settings={((user, "t"), "BTCUSDT"): setting(number) for user, number in (("u", 3), ("v", 4), ("w", 5))},
        read={0: [Read("b", job_id, outcome, "1-1") for job_id, outcome in stream]},
        read_to_end={0: {"b"}},
    )


def holding(seen: Evidence, number: int) -> None:
    """Let the exchange hold the setting of the n-th change."""
    seen.final_settings = {**seen.final_settings, (LANE, "BTCUSDT"): setting(number)}


def broken(seen: Evidence) -> set[str]:
    """Return the guarantees that did not hold."""
    return {verdict.name for verdict in judge(seen).verdicts if not verdict.holds}


def with_change(seen: Evidence, number: int, **changed: Any) -> Evidence:
    """Replace attributes of the n-th change."""
    seen.changes[f"c{number}"] = replace(seen.changes[f"c{number}"], **changed)
    return seen


def with_result(seen: Evidence, number: int, outcome: Outcome, **changed: Any) -> Evidence:
    """Give the n-th change another result, and adapt the counters."""
    seen.results[f"c{number}"] = ended(number, outcome, **changed)
    seen.counters = {"applied": 4, str(outcome): 1} if outcome is not Outcome.APPLIED else {"applied": 5}
    return seen


def written(seen: Evidence, **times: int) -> None:
    """Let the append-only file have some results this often, and the others once."""
    seen.written = dict.fromkeys(seen.results, 1) | times


def ends(seen: Evidence, number: int, at_s: float) -> None:
    """Give the n-th change another end."""
    job_id = f"c{number}"
    seen.results[job_id] = msgspec.structs.replace(seen.results[job_id], finished_at_ms=round(at_s * 1000))


def with_batch(seen: Evidence, **changed: Any) -> None:
    """Replace attributes of the batch."""
    seen.batches = [replace(seen.batches[0], **changed)]

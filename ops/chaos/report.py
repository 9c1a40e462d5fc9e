"""The end of a run, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ops.chaos.arrivals import most_in_a_minute, most_of_a_user
from ops.chaos.checks import Judgement
from ops.chaos.environment import Environment
from ops.chaos.evidence import Evidence
from ops.chaos.schedule import NOT_FAULTS
from ops.chaos.verdict import Verdict
from ops.exchange.faults import LATENCY
from ops.exchange.rules import SETTINGS

SHOWN = 5
"""So many violations of a promise are told; the rest are counted. The JSON has them all."""
CHANGES_PER_S = 160
FAULTS_PER_S = 1.6


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in figures.

    Attributes:
        seed: of the run.
        seconds: how long things went wrong.
        took_s: from start to end.
        events: how often what happened.
        faults: how many of them were faults.
        changes: how many were accepted.
        open: how many may or may not have been.
        outcomes: how they ended.
        requests: what the exchange saw.
        struck: of these, by which fault.
        again: requests that were not the first of their change.
        fenced: settlements that were refused, for their lease was lost.
        most_in_1s: requests of one user in any second.
        most_in_1min: requests in any minute.
        drained_s: how long the queue took to drain when all trouble was over.
        excused: requests that a stalled worker sent after its lease: one for a stall at most.
        keys_in: where the workers found users' keys.
        verdicts: on all promises.
    """

    seed: int
    seconds: float
    took_s: float
    events: dict[str, int]
    faults: int
    changes: int
    open: int
    outcomes: dict[str, int]
    requests: int
    struck: dict[str, int]
    again: int
    fenced: int
    most_in_1s: int
    most_in_1min: int
    drained_s: float | None
    keys_in: str
    excused: int
    verdicts: list[Verdict]

    @property
    def violations(self) -> int:
        """Of all promises."""
        return sum(len(verdict.violations) for verdict in self.verdicts)

    @property
    def is_enough(self) -> bool:
        """Whether there was enough work and trouble for the verdicts to mean something."""
        return self.changes >= CHANGES_PER_S * self.seconds and self.faults >= FAULTS_PER_S * self.seconds

    @property
    def holds(self) -> bool:
        """Whether all promises were kept, in a run that tested them."""
        return self.is_enough and not self.violations


def summarize(
    seen: Evidence, judgement: Judgement, events: dict[str, int], *, world: Environment, took_s: float
) -> Summary:
    """The figures of a run."""
    requests = [arrival for arrival in seen.arrivals if arrival.path == SETTINGS]
    sent = Counter(change.job_id for _, changes in seen.carried() for change in changes)
    accepted = [change for change in seen.changes.values() if change.told_ns is not None]
    return Summary(
        seed=world.seed,
        seconds=world.seconds,
        took_s=round(took_s, 1),
        events=dict(sorted(events.items())),
        faults=sum(count for kind, count in events.items() if kind not in NOT_FAULTS),
        changes=len(accepted),
        open=len(seen.changes) - len(accepted),
        outcomes=dict(Counter(str(result.outcome) for result in seen.results.values()).most_common()),
        requests=len(requests),
        struck=dict(Counter(arrival.fault for arrival in requests if arrival.fault not in ("", LATENCY)).most_common()),
        again=sum(sent.values()) - len(sent),
        fenced=seen.fenced,
        most_in_1s=most_of_a_user(seen)[0],
        most_in_1min=most_in_a_minute(seen)[0],
        drained_s=None if seen.drained_s is None else round(seen.drained_s, 1),
        keys_in=world.key_store.name,
        excused=judgement.excused,
        verdicts=judgement.verdicts,
    )


def as_data(summary: Summary) -> dict[str, Any]:
    """For `--json`."""
    fields = {name: getattr(summary, name) for name in summary.__slots__}
    promises = {verdict.promise: verdict.violations for verdict in summary.verdicts}
    return {"holds": summary.holds, "violations": summary.violations} | fields | {"verdicts": promises}


def text(summary: Summary) -> str:
    """For people."""
    lines = [
        f"Seed {summary.seed}, {summary.seconds:g} s of trouble, {summary.took_s:g} s in all, keys {summary.keys_in}",
        "",
    ]
    lines += _table("What happened", summary.events)
    lines += _table("How the changes ended", summary.outcomes)
    lines += _table("Requests that faults struck", summary.struck)
    drained = "never" if summary.drained_s is None else f"{summary.drained_s:g} s"
    figures = {
        "faults": summary.faults,
        "changes accepted": summary.changes,
        "perhaps accepted": summary.open,
        "requests at the exchange": summary.requests,
        "of these not the first of a change": summary.again,
        "settlements refused after their lease": summary.fenced,
        "excused, sent after a stall": summary.excused,
        "most of one user in any second": summary.most_in_1s,
        "most in any minute": summary.most_in_1min,
        "time to drain": drained,
    }
    lines += _table("In figures", figures)
    lines.append("Promises, judged by what producers, the exchange, results and counters say")
    for verdict in summary.verdicts:
        lines.append(f"  {'ok    ' if verdict.holds else 'BROKEN'}  {verdict.promise}")
        lines += [f"            {violation}" for violation in verdict.violations[:SHOWN]]
        if len(verdict.violations) > SHOWN:
            lines.append(f"            and {len(verdict.violations) - SHOWN} more")
    lines += ["", _closing(summary)]
    return "\n".join(lines)


def _closing(summary: Summary) -> str:
    if summary.violations:
        return f"{summary.violations} violations."
    if not summary.is_enough:
        return "0 violations, but too little was tested for that to mean anything."
    return f"0 violations in {summary.changes} changes and {summary.faults} faults."


def _table(title: str, rows: dict[str, Any]) -> list[str]:
    width = max((len(f"{value}") for value in rows.values()), default=0)
    return [title, *(f"  {value!s:>{width}}  {name}" for name, value in rows.items()), ""]

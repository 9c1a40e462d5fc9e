"""The report of a run, as text and as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ops.chaos.checks import Judgement
from ops.chaos.environment import Environment
from ops.chaos.evidence import Evidence
from ops.chaos.schedule import kinds
from ops.exchange.faults import LATENCY
from ops.exchange.rules import SETTINGS_PATH
from ops.ledger.limits import busiest_minute, busiest_user
from ops.ledger.verdict import Verdict

MAX_LISTED = 5
"""Maximum number of violations per guarantee in the text; the others are counted. The JSON has all of them."""
MIN_CHANGES_PER_S = 160
MIN_FAULTS_PER_S = 1.6


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers.

    Attributes:
        took_s: seconds from start to end.
        events: the number of events by kind.
        changes: accepted changes.
        open: changes that may or may not have been accepted.
        requests: requests for settings at the exchange.
        struck: requests that met a fault, by fault.
        again: requests that were not the first one of their change.
        fenced: settlements that were refused because the session was lost.
        most_in_1s: the most requests of one user in any second.
        drained_s: how long the queue took to drain after the faults.
        excused: requests that a stalled worker sent after its session, at most one for each stall.
        shards: of the queue.
        keys_in: where the workers found users' keys.
        takeovers: how often a replica took the place of a primary that was killed or frozen.
        unasked_takeovers: how often one did so otherwise.
        lost_commands: the writes, marks included, that may not have reached a replica before it took over.
        lost_users: how many users they were about.
        explained: violations that are explained by them, by guarantee.
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
    shards: int
    keys_in: str
    excused: int
    takeovers: int
    unasked_takeovers: int
    lost_commands: int
    lost_users: int
    explained: dict[str, int]
    verdicts: list[Verdict]

    @property
    def violations(self) -> int:
        """The number of violations of all guarantees."""
        return sum(len(verdict.violations) for verdict in self.verdicts)

    @property
    def is_enough(self) -> bool:
        """Whether there were enough changes and faults for the verdicts to mean something."""
        return self.changes >= MIN_CHANGES_PER_S * self.seconds and self.faults >= MIN_FAULTS_PER_S * self.seconds

    @property
    def holds(self) -> bool:
        """Whether all guarantees held, in a run that tested them."""
        return self.is_enough and not self.violations


def summarize(
    seen: Evidence, judgement: Judgement, events: dict[str, int], *, environment: Environment, took_s: float
) -> Summary:
    """Return the numbers of a run."""
    of_run = kinds(in_cluster=environment.in_cluster, shards=environment.shards)
    requests = [arrival for arrival in seen.arrivals if arrival.path == SETTINGS_PATH]
    sent = Counter(change.job_id for _, changes in seen.requests() for change in changes)
    accepted = [change for change in seen.changes.values() if change.accepted_ns is not None]
    return Summary(
        seed=environment.seed,
        seconds=environment.seconds,
        took_s=round(took_s, 1),
        events=dict(sorted(events.items())),
        faults=sum(count for kind, count in events.items() if of_run[kind].is_fault),
        changes=len(accepted),
        open=len(seen.changes) - len(accepted),
        outcomes=dict(Counter(str(result.outcome) for result in seen.results.values()).most_common()),
        requests=len(requests),
        struck=dict(Counter(arrival.fault for arrival in requests if arrival.fault not in ("", LATENCY)).most_common()),
        again=sum(sent.values()) - len(sent),
        fenced=seen.fenced,
        most_in_1s=busiest_user(seen)[0],
        most_in_1min=busiest_minute(seen).requests,
        drained_s=None if seen.drained_s is None else round(seen.drained_s, 1),
        shards=environment.shards,
        keys_in=environment.key_store.name,
        excused=judgement.excused,
        takeovers=seen.lost.takeovers,
        unasked_takeovers=seen.lost.unasked,
        lost_commands=seen.lost.commands,
        lost_users=len(seen.lost.users),
        explained=judgement.explained,
        verdicts=judgement.verdicts,
    )


def as_data(summary: Summary) -> dict[str, Any]:
    """Return the data of `--json`."""
    fields = {name: getattr(summary, name) for name in summary.__slots__}
    violations = {verdict.name: verdict.violations for verdict in summary.verdicts}
    return {"holds": summary.holds, "violations": summary.violations} | fields | {"verdicts": violations}


def text(summary: Summary) -> str:
    """Return the report for people."""
    where = f"keys {summary.keys_in}" + (f", {summary.shards} shards" if summary.shards > 1 else "")
    lines = [f"Seed {summary.seed}, {summary.seconds:g} s of faults, {summary.took_s:g} s in all, {where}", ""]
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
        "settlements refused after their session": summary.fenced,
        "excused, sent after a stall": summary.excused,
        "most of one user in any second": summary.most_in_1s,
        "most in any minute": summary.most_in_1min,
        "time to drain": drained,
    }
    if summary.takeovers:
        figures |= {
            "times a replica took over": summary.takeovers,
            "times one did so unasked": summary.unasked_takeovers,
            "commands that it may not have got": summary.lost_commands,
            "users that they were about": summary.lost_users,
        }
    lines += _table("In figures", figures)
    if summary.explained:
        lines += _table("Violations that lost replication explains", summary.explained)
    lines.append("Guarantees, judged by what producers, the exchange, results and counters say")
    for verdict in summary.verdicts:
        lines.append(f"  {'ok    ' if verdict.holds else 'BROKEN'}  {verdict.name}")
        lines += [f"            {violation}" for violation in verdict.violations[:MAX_LISTED]]
        if len(verdict.violations) > MAX_LISTED:
            lines.append(f"            and {len(verdict.violations) - MAX_LISTED} more")
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

"""The demo's output for people: what will happen, progress, results. Bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.demo.figures import Figures
from ops.demo.run import FAN_OUT, LANE, PASSERS_BY, WORKERS, OnProgress
from ops.demo.scenario import ADDRESS_LIMIT_PER_MIN, USER_LIMIT_PER_S, Scenario
from ops.ledger.verdict import Verdict

PLAIN_WIDTH = 110
LINE_EVERY_S = 2.0

NUMBERS = {"changes", "requests"}
WHOLE = {"user", "outcome", "code", "verdict"}
"""Columns whose cells are not wrapped."""

MEANINGS = {
    "applied": "the exchange answered success",
    "rejected": "the exchange refused the content; trying again would not help",
    "unauthorized": "no credentials for the user, or the exchange refused them",
    "exhausted": "sent, but without a final reply before the deadline",
    "expired": "the deadline passed before it was sent",
    "cancelled": "cancelled before it was sent",
    "superseded": "replaced by a later change before it was sent",
    "refused": "not accepted by the producer; nothing was written",
}

VERDICTS = {
    "transient": "not now: sent again after a back-off",
    "ambiguous": "no readable reply, perhaps applied: sent again, which is safe, as it sets values",
    "throttled": "too many requests: only this user waits, and the request does not count as a try",
    "failed": 'a success that says data "fail": sent again, up to five tries',
    "clock_skew": "the timestamp was off: signed and sent again at once",
}


def console(*, to_stderr: bool) -> Console:
    """Return the console for all output."""
    screen = Console(stderr=to_stderr, highlight=False)
    return screen if screen.is_terminal else Console(stderr=to_stderr, highlight=False, width=PLAIN_WIDTH)


def opening(screen: Console, scenario: Scenario) -> None:
    """Print what will happen."""
    flawed = sum(bool(planned.flaw) for planned in scenario.fan_out)
    screen.print(
        f"[bold]One change is fanned out to {len(scenario.fan_out)} followers while one user has"
        f" {len(scenario.lane)} changes queued[/bold], at {USER_LIMIT_PER_S} a second for each user and"
        f" {ADDRESS_LIMIT_PER_MIN} a minute for all. {flawed} followers have wrong keys or settings,"
        f" {len(scenario.faults)} faults wait at the exchange, and {len(scenario.passers_by)} passers-by want a single"
        f" change each meanwhile. All share the limit of a minute, and interactive changes go before those of the"
        f" fan-out. On real processes: a Valkey server, a strict double of the exchange, {WORKERS} workers.\n"
    )


def address(screen: Console, url: str) -> None:
    """Print where the console is, on a line of its own."""
    screen.print("The console, while this runs:")
    screen.print(url, soft_wrap=True, markup=False)
    screen.print()


def staying(screen: Console, url: str) -> None:
    """Print that everything goes on running, and where the console is."""
    screen.print("\nEverything is still running; Ctrl-C stops it. The console:")
    screen.print(url, soft_wrap=True, markup=False)


@contextmanager
def progress(screen: Console, scenario: Scenario) -> Iterator[OnProgress]:
    """Show progress while the body runs; it calls the callback that this yields."""
    refused = sum(planned.expected is None for planned in scenario.fan_out)
    totals = {
        FAN_OUT: len(scenario.fan_out) - refused,
        LANE: len(scenario.lane),
        PASSERS_BY: len(scenario.passers_by),
    }
    if screen.is_terminal:
        with _bars(screen, totals) as on_progress:
            yield on_progress
    else:
        yield _lines(screen, totals)
    screen.print()


@contextmanager
def _bars(screen: Console, totals: Mapping[str, int]) -> Iterator[OnProgress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen) as bars:
        tasks = {group: bars.add_task(group, total=total) for group, total in totals.items()}

        def on_progress(group: str, ended: int) -> None:
            bars.update(tasks[group], completed=ended)

        yield on_progress


def _lines(screen: Console, totals: Mapping[str, int]) -> OnProgress:
    began_s = next_line_s = time.monotonic()
    so_far = dict.fromkeys(totals, 0)

    def on_progress(group: str, ended: int) -> None:
        nonlocal next_line_s
        so_far[group] = ended
        now_s = time.monotonic()
        if now_s >= next_line_s or all(so_far[name] == total for name, total in totals.items()):
            next_line_s = now_s + LINE_EVERY_S
            shown = "   ".join(f"{name} {so_far[name]:>3}/{total}" for name, total in totals.items())
            screen.print(f"{now_s - began_s:5.1f} s   {shown}")

    return on_progress


def closing(screen: Console, seen: Figures, checks: list[Verdict], took_s: float) -> None:
    """Print the results."""
    for table in (_outcomes(seen), _not_applied(seen), _retried(seen), _rates(seen), _verdicts(checks)):
        screen.print(table)
        screen.print()
    broken = sum(not check.holds for check in checks)
    if broken:
        screen.print(f"[bold red]{broken} of {len(checks)} invariants did not hold[/bold red]; see BROKEN above.")
        return
    screen.print(
        f"[bold green]All {len(checks)} invariants held[/bold green], in {took_s:.0f} s: no limit was exceeded, every"
        " lane kept its order through faults and retries, and every change has exactly one outcome."
    )


def _table(title: str, *columns: str) -> Table:
    """Return an empty table, with a header line if any column has a name. The last column takes the long lines."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        show_header=any(columns),
    )
    for column in columns:
        table.add_column(
            column, justify="right" if column in NUMBERS else "left", no_wrap=column in WHOLE, overflow="fold"
        )
    return table


def _add(table: Table, *cells: str) -> None:
    """Add a row without markup: a message may contain what looks like markup."""
    table.add_row(*map(escape, cells))


def _outcomes(seen: Figures) -> Table:
    table = _table("How the changes ended", "outcome", "changes", "meaning")
    refused = sum(each.outcome == "refused" for each in seen.not_applied)
    for outcome, count in [*seen.outcomes.items(), ("refused", refused)]:
        if count:
            _add(table, outcome, str(count), MEANINGS.get(outcome, ""))
    return table


def _not_applied(seen: Figures) -> Table:
    table = _table("Those that were not applied", "user", "outcome", "code", "message")
    for each in seen.not_applied:
        _add(table, each.user, each.outcome, each.code or "-", each.message)
    return table


def _retried(seen: Figures) -> Table:
    table = _table("Requests that had to be repeated", "verdict", "requests", "replies", "what the worker does")
    for each in seen.retried:
        replies = "\n".join(f"{count} x {reply}" for reply, count in each.replies.items())
        _add(table, each.verdict, str(each.requests), replies, VERDICTS.get(each.verdict, ""))
    return table


def _rates(seen: Figures) -> Table:
    table = _table("How fast, as the exchange saw it", "", "")
    rows = {
        "most requests of one user in any second": f"{seen.peak_in_1s} of {USER_LIMIT_PER_S} allowed"
        f" ({seen.peak_user})",
        "the fan-out": f"{seen.fan_out_requests} users in {seen.fan_out_s:.1f} s; all users together may send"
        f" {ADDRESS_LIMIT_PER_MIN} a minute",
        "the long lane, after the fan-out": f"{seen.lane_rate_per_s:.2f}/s, {seen.lane_percent:.1f} % of the user's"
        " limit, retries included",
        "a passer-by, from asking to the result": f"{seen.passer_by_median_ms:.0f} ms (median of {seen.passers_by}), at"
        f" most {seen.passer_by_longest_ms:.0f} ms",
    }
    for name, value in rows.items():
        _add(table, name, value)
    return table


def _verdicts(checks: list[Verdict]) -> Table:
    table = _table("Invariants, judged by what the exchange and the producer saw", "", "", "")
    for check in checks:
        verdict = "[green]ok[/green]" if check.holds else "[bold red]BROKEN[/bold red]"
        table.add_row(verdict, check.name, escape(check.detail))
    return table

"""The ledger's report as a text table. No I/O."""

from __future__ import annotations

from ops.exchange.ledger import Report, UserReport

MAX_USERS = 20
HEADER = ("user", "arrivals", "accepted", "429s", "peak/1 s", "rate/s")


def format_report(report: Report) -> str:
    """Return the report as text: totals, counts by kind, and a table of the users with the highest peaks."""
    users = sorted(report.users.items(), key=lambda item: (-item[1].peak_in_1s, item[0]))
    rows: list[tuple[str, ...]] = [HEADER, *(_row(user_id, user) for user_id, user in users[:MAX_USERS])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    totals = f"arrivals {report.arrivals:,}, accepted {report.accepted:,}, over a limit {report.throttled:,}"
    lines = [f"{totals}, {report.rate_per_s:.1f}/s over {report.span_s:.1f} s"]
    for name, counts_by in (("HTTP status", report.by_status), ("code", report.by_code), ("fault", report.by_fault)):
        if counts_by:
            lines.append(f"by {name}: " + ", ".join(f"{kind} {count:,}" for kind, count in counts_by.items()))
    if users:
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if len(users) > MAX_USERS:
        lines.append(f"and {len(users) - MAX_USERS:,} more users, none with a higher peak")
    return "\n".join(lines)


def _row(user_id: str, user: UserReport) -> tuple[str, ...]:
    counts = [f"{count:,}" for count in (user.arrivals, user.accepted, user.throttled, user.peak_in_1s)]
    return (user_id or "(no known key)", *counts, f"{user.rate_per_s:.2f}")

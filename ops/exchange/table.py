"""The report as a small table for people. No I/O."""

from __future__ import annotations

from ops.exchange.ledger import Report

MAX_USERS = 20
HEADER = ("user", "arrivals", "accepted", "429s", "peak/1 s", "rate/s")


def table(report: Report) -> str:
    """The report as lines of text: the totals, the counts by kind, then the users with the highest peaks."""
    users = sorted(report.users.items(), key=lambda item: (-item[1].peak_in_1s, item[0]))
    rows = [HEADER] + [
        (
            user or "(no known key)",
            *_counts(of.arrivals, of.accepted, of.throttled, of.peak_in_1s),
            f"{of.rate_per_s:.2f}",
        )
        for user, of in users[:MAX_USERS]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    totals = f"arrivals {report.arrivals:,}, accepted {report.accepted:,}, over a limit {report.throttled:,}"
    lines = [
        f"{totals}, {report.rate_per_s:.1f}/s over {report.span_s:.1f} s",
        *_kinds("HTTP status", report.by_status),
        *_kinds("code", report.by_code),
        *_kinds("fault", report.by_fault),
    ]
    if users:
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if len(users) > MAX_USERS:
        lines.append(f"and {len(users) - MAX_USERS:,} more users, none with a higher peak")
    return "\n".join(lines)


def _counts(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def _kinds(name: str, counts: dict[str, int]) -> list[str]:
    return [f"by {name}: " + ", ".join(f"{kind} {count:,}" for kind, count in counts.items())] if counts else []

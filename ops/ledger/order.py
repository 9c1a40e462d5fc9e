"""The order of a lane's requests, judged by what arrived at the exchange. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ops.exchange import Arrival
from ops.ledger.evidence import Change, Evidence, Lane
from ops.ledger.verdict import StallExcuses
from producers import Outcome

MAX_CLOCK_LAG_NS = 1_600_000_000
"""A worker estimates Redis's time from the reply to its claim; it lags by at most a Redis time-out (1.5 s)."""
WITHDRAWN = frozenset({Outcome.CANCELLED, Outcome.EXHAUSTED, Outcome.EXPIRED})
MIN_TIMEOUT_SHARE = 0.5
"""The worker's time-out also covers connecting, so a request is certainly waited for only half of it."""


def in_order(seen: Evidence, excuses: StallExcuses) -> Iterator[str]:
    """Yield each change that was sent after a change that was accepted later, in a request without the later one."""
    lanes: defaultdict[Lane, list[tuple[Arrival, list[Change]]]] = defaultdict(list)
    for arrival, changes in seen.requests():
        lanes[arrival.user, arrival.trader].append((arrival, changes))
    for lane, requests in lanes.items():
        sent: list[tuple[Change, Arrival, set[str]]] = []
        for arrival, changes in requests:
            carried = {change.job_id for change in changes}
            for change in changes:
                overtaken_by = next(
                    (
                        (other, earlier)
                        for other, earlier, sent_with in sent
                        if other.job_id not in carried
                        and change.job_id not in sent_with
                        and change.precedes(other)
                        and not _was_withdrawn(other, seen)
                    ),
                    None,
                )
                if overtaken_by is None or excuses.excuse(lane, arrival.at_ns):
                    continue
                other, earlier = overtaken_by
                yield (
                    f"{change} was sent at {seen.clock(arrival.at_ns)}, after {other.job_id} at"
                    f" {seen.clock(earlier.at_ns)}, which was accepted later"
                )
            sent += [(change, arrival, carried) for change in changes]


def _was_withdrawn(other: Change, seen: Evidence) -> bool:
    """Return whether a coalesced change ended without a verdict; the changes that it replaced are then due again."""
    result = seen.results.get(other.job_id)
    return other.coalesces and result is not None and result.outcome in WITHDRAWN


def not_sent_after_end(seen: Evidence, excuses: StallExcuses) -> Iterator[str]:
    """Yield each change that was sent after it had its outcome; its sender no longer held the lane."""
    for arrival, changes in seen.requests():
        for change in changes:
            result = seen.results.get(change.job_id)
            if result is None:
                continue
            ended_ns = result.finished_at_ms * 1_000_000 - seen.wall_offset_ns
            if arrival.at_ns > ended_ns + MAX_CLOCK_LAG_NS and not excuses.excuse(change.lane, arrival.at_ns):
                yield (
                    f"{change} was sent at {seen.clock(arrival.at_ns)}, although it had ended {result.outcome} at"
                    f" {seen.clock(ended_ns)}"
                )


def one_at_a_time(seen: Evidence, excuses: StallExcuses) -> Iterator[str]:
    """Yield each request that came while the worker still waited for the reply to the lane's previous request."""
    timeout_ns = round(seen.request_timeout_s * 1e9 * MIN_TIMEOUT_SHARE)
    previous: dict[Lane, Arrival] = {}
    for arrival, _ in seen.requests():
        lane = arrival.user, arrival.trader
        last = previous.get(lane)
        if last is not None and last.at_ns + timeout_ns > arrival.at_ns:
            is_open = last.answered_ns == 0 or last.answered_ns > arrival.at_ns
            if is_open and not excuses.excuse(lane, arrival.at_ns):
                yield (
                    f"{lane}: a request came at {seen.clock(arrival.at_ns)}, before the reply to the one of"
                    f" {seen.clock(last.at_ns)}"
                )
        previous[lane] = arrival

"""Order and limits, judged by what arrived at the exchange. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ops.chaos.evidence import Change, Evidence
from ops.chaos.verdict import Late
from ops.exchange import Arrival
from ops.exchange.rules import SETTINGS
from producers import Outcome

SECOND_NS = 1_000_000_000
TOLD_EARLY_NS = 1_600_000_000
"""A worker knows Redis's time by the answer to its claim: it is behind by as long as that took, a time-out at most."""
WITHDRAWN = frozenset({Outcome.CANCELLED, Outcome.EXHAUSTED, Outcome.EXPIRED})
SURELY_WAITED_FOR = 0.5
"""So much of the time-out counts: it runs from before the connection, too."""


def in_order(seen: Evidence, late: Late) -> Iterator[str]:
    """No change is sent again once one that was accepted after it was sent without it."""
    lanes: defaultdict[tuple[str, str], list[tuple[Arrival, list[Change]]]] = defaultdict(list)
    for arrival, changes in seen.carried():
        lanes[arrival.user, arrival.trader].append((arrival, changes))
    for lane, requests in lanes.items():
        sent: list[tuple[Change, Arrival, set[str]]] = []
        for arrival, changes in requests:
            carried = {change.job_id for change in changes}
            for change in changes:
                overtaken = next(
                    (
                        (other, earlier)
                        for other, earlier, with_it in sent
                        if other.job_id not in carried
                        and change.job_id not in with_it
                        and change.precedes(other)
                        and not _was_withdrawn(other, seen)
                    ),
                    None,
                )
                if overtaken is None or late.explains(lane, arrival.at_ns):
                    continue
                other, earlier = overtaken
                yield (
                    f"{change.job_id} of {lane} was sent at {seen.at(arrival.at_ns)}, after {other.job_id} at"
                    f" {seen.at(earlier.at_ns)}, which was accepted later"
                )
            sent += [(change, arrival, carried) for change in changes]


def _was_withdrawn(other: Change, seen: Evidence) -> bool:
    """Whether a change that replaced others in a shared request had no verdict in the end: what it replaced is due."""
    result = seen.results.get(other.job_id)
    return other.coalesces and result is not None and result.outcome in WITHDRAWN


def not_after_their_end(seen: Evidence, late: Late) -> Iterator[str]:
    """No change is sent when it has its outcome: whoever does that, holds its lane no more."""
    for arrival, changes in seen.carried():
        for change in changes:
            result = seen.results.get(change.job_id)
            if result is None:
                continue
            ended_ns = result.finished_at_ms * 1_000_000 - seen.wall_lead_ns
            lane = arrival.user, arrival.trader
            if arrival.at_ns > ended_ns + TOLD_EARLY_NS and not late.explains(lane, arrival.at_ns):
                yield (
                    f"{change.job_id} of {lane} was sent at {seen.at(arrival.at_ns)}, though it had ended"
                    f" {result.outcome} at {seen.at(ended_ns)}"
                )


def one_at_a_time(seen: Evidence, late: Late) -> Iterator[str]:
    """A lane's next request comes when the one before is answered, or when nobody waits for its answer any more."""
    timeout_ns = round(seen.request_timeout_s * 1e9 * SURELY_WAITED_FOR)
    before: dict[tuple[str, str], Arrival] = {}
    for arrival, _ in seen.carried():
        lane = arrival.user, arrival.trader
        last = before.get(lane)
        if last is not None and last.at_ns + timeout_ns > arrival.at_ns:
            under_way = last.answered_ns == 0 or last.answered_ns > arrival.at_ns
            if under_way and not late.explains(lane, arrival.at_ns):
                yield (
                    f"{lane}: a request came at {seen.at(arrival.at_ns)}, while the one of {seen.at(last.at_ns)} was"
                    " under way"
                )
        before[lane] = arrival


def within_the_users_limit(seen: Evidence) -> Iterator[str]:
    """In no sliding second more than a user may."""
    for user, times in _by_user(seen).items():
        most, until = _densest(times, SECOND_NS)
        if most > seen.user_rate:
            took_ms = (times[until] - times[until - most + 1]) / 1e6
            yield f"{user}: {most} requests within {took_ms:.1f} ms up to {seen.at(times[until])}"


def within_the_address_limit(seen: Evidence) -> Iterator[str]:
    """In no sliding minute more than an address may."""
    most, until = most_in_a_minute(seen)
    if most > seen.egress_per_min:
        yield f"{most} requests within a minute up to {seen.at(seen.arrivals[until].at_ns)}"


def most_of_a_user(seen: Evidence) -> tuple[int, str]:
    """The most requests of one user in any second, and whose."""
    return max(((_densest(times, SECOND_NS)[0], user) for user, times in _by_user(seen).items()), default=(0, ""))


def most_in_a_minute(seen: Evidence) -> tuple[int, int]:
    """The most requests in any minute, and the place of the last of them."""
    return _densest([arrival.at_ns for arrival in seen.arrivals], 60 * SECOND_NS)


def _by_user(seen: Evidence) -> dict[str, list[int]]:
    times: defaultdict[str, list[int]] = defaultdict(list)
    for arrival in seen.arrivals:
        if arrival.user and arrival.path == SETTINGS:
            times[arrival.user].append(arrival.at_ns)
    return times


def _densest(times: list[int], span_ns: int) -> tuple[int, int]:
    """How many of some rising times the densest window holds, and the place of the last of them."""
    first, most, until = 0, 0, 0
    for last, at_ns in enumerate(times):
        while at_ns - times[first] >= span_ns:
            first += 1
        if last - first + 1 > most:
            most, until = last - first + 1, last
    return most, until

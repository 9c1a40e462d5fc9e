"""What became of many changes of a few users under a limit, by what the exchange double saw. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ops.bench.measurement import NS_PER_MS, NS_PER_S, peak_in_window, percentile

LIMIT_PER_S = 10
"""Of a user at the double, in any sliding second."""

BUSY_CHANGES = 300
"""Of the one user with many: more than any program has jobs at once."""

Key = tuple[str, int]
"""A user and the number of one of its changes, from 1, in the order in which they were enqueued."""


class Applied:
    """The changes that the double applied. Each user has one lane.

    Attributes:
        at_ns: when the request of each change arrived that was applied first.
        numbers: of each user, the numbers of its changes as they were applied, repeated ones too.
        peak_in_1s: the most requests of one user in any sliding second, refused ones too.
        throttled: the requests that were refused because of a limit.
        first_ns: when the first request of each user arrived.
    """

    def __init__(self, arrivals: Iterable[Mapping[str, Any]]) -> None:
        """Read the double's record, oldest first. A change's number is its trace value."""
        self.at_ns: dict[Key, int] = {}
        self.numbers: dict[str, list[int]] = {}
        self.throttled = 0
        times_ns: dict[str, list[int]] = {}
        for arrival in arrivals:
            user = arrival["user"]
            if not user:
                continue  # this project's worker asks for the double's time
            times_ns.setdefault(user, []).append(arrival["at_ns"])
            self.throttled += arrival["throttled"]
            if arrival["accepted"]:
                number = int(arrival["values"][0])
                self.at_ns.setdefault((user, number), arrival["at_ns"])
                self.numbers.setdefault(user, []).append(number)
        self.peak_in_1s = max(map(peak_in_window, times_ns.values()), default=0)
        self.first_ns = {user: times[0] for user, times in times_ns.items()}

    def over_floor_s(self, user: str) -> float:
        """Return how much longer than the limit demands a user's changes took, from its first request to the last."""
        last_ns = max(at_ns for (owner, _), at_ns in self.at_ns.items() if owner == user)
        return (last_ns - self.first_ns[user]) / NS_PER_S - floor_s(len(set(self.numbers[user])))

    def latencies_ms(self, called_ns: int, *, without: str) -> list[float]:
        """Return the time from a call to the arrival of each change of all users but one."""
        return [(at_ns - called_ns) / NS_PER_MS for (user, _), at_ns in self.at_ns.items() if user != without]


def floor_s(changes: int) -> float:
    """Return the least seconds from a user's first request to its last: ten at once, and ten more each second."""
    return float((changes - 1) // LIMIT_PER_S)


def inversions(numbers: Sequence[int]) -> int:
    """Return how many changes of a lane were applied after one that was enqueued later."""
    highest = count = 0
    for number in numbers:
        count += number < highest
        highest = max(highest, number)
    return count


def figures(applied: Applied, *, busy: str, expected: int, called_ns: int) -> dict[str, float]:
    """Return the figures of the load `limited`; times only if nothing was lost.

    Args:
        applied: what the double applied.
        busy: the user with the many changes; the others are its neighbours.
        expected: how many changes there are.
        called_ns: when the neighbours' changes were enqueued, monotonic clock.
    """
    found: dict[str, float] = {
        "peak_in_1s": applied.peak_in_1s,
        "throttled": applied.throttled,
        "inversions": sum(map(inversions, applied.numbers.values())),
        "lost": expected - len(applied.at_ns),
        "repeated": sum(map(len, applied.numbers.values())) - len(applied.at_ns),
    }
    if not found["lost"]:
        latencies_ms = applied.latencies_ms(called_ns, without=busy)
        found["over_floor_s"] = applied.over_floor_s(busy)
        found |= {f"neighbours_p{percent}_ms": percentile(latencies_ms, percent) for percent in (50, 99)}
    return found

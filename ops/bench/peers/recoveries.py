"""What became of a killed worker's jobs, by what the exchange double saw. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ops.bench.measurement import NS_PER_S


class Recovery:
    """The jobs after a kill. Each user has one.

    Attributes:
        in_flight: the users whose request was sent by the killed worker and not answered before the kill.
        waits_s: of those that were sent again, the seconds from the kill to then.
        unsent: the users whose jobs were never sent.
        doubled: the users whose jobs were sent again although a success had been sent to a worker that ran.
    """

    def __init__(self, users: Iterable[str], arrivals: Iterable[Mapping[str, Any]], killed_ns: int) -> None:
        """Read the double's record, oldest first; `killed_ns` is the time of the kill by its clock."""
        self.unsent = set(users)
        self.in_flight: set[str] = set()
        self.waits_s: dict[str, float] = {}
        self.doubled: set[str] = set()
        answered_ns: dict[str, int] = {}
        for arrival in arrivals:
            user, at_ns = arrival["user"], arrival["at_ns"]
            if not user:
                continue  # this project's worker asks for the double's time
            self.unsent.discard(user)
            if arrival["disconnected"] or (at_ns <= killed_ns and not 0 < arrival["answered_ns"] <= killed_ns):
                self.in_flight.add(user)
                continue
            if user in self.in_flight:
                self.waits_s.setdefault(user, (at_ns - killed_ns) / NS_PER_S)
            if user in answered_ns and at_ns > answered_ns[user]:
                self.doubled.add(user)
            if arrival["accepted"] and arrival["answered_ns"]:
                answered_ns.setdefault(user, arrival["answered_ns"])

    @property
    def is_complete(self) -> bool:
        """Whether all jobs were sent, and those in flight again."""
        return len(self.waits_s) == len(self.in_flight) and not self.unsent

    def figures(self) -> dict[str, float]:
        """Return the figures of the load `crash`, which had jobs in flight; times if one of them was sent again."""
        times = {"first_s": min(self.waits_s.values()), "last_s": max(self.waits_s.values())} if self.waits_s else {}
        return {
            **times,
            "unrecovered_percent": 100 * (1 - len(self.waits_s) / len(self.in_flight)),
            "unsent": len(self.unsent),
            "doubled": len(self.doubled),
        }

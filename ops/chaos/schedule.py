"""The events of a run and their times. No I/O: they depend on the seed and the length of the run only."""

from __future__ import annotations

import random
from dataclasses import dataclass

MIN_SECONDS = 8.0
QUIET_START_S = 1.5
"""The first event comes after this time, when the workers have started."""

WORKERS = 3
PRODUCERS = 4
LEASE_S = 4.0
REQUEST_TIMEOUT_S = 1.5

WINDOWS: dict[str, tuple[float, float, float]] = {
    "outage": (1.0, 0.6, 1.6),
    "reset_before": (1.0, 0.4, 1.0),
    "hang": (0.2, 0.5, 1.5),
    "html": (0.5, 0.5, 1.5),
    "http_500": (0.4, 0.5, 2.0),
    "http_502": (0.4, 0.5, 2.0),
    "code:45001": (0.6, 0.5, 2.0),
    "code:40015": (0.4, 0.5, 1.5),
    "reset_after": (0.4, 0.5, 1.5),
    "cut": (0.4, 0.5, 1.5),
    "empty": (0.4, 0.5, 1.5),
    "fail": (0.15, 0.3, 1.0),
    "latency": (0.3, 0.5, 2.0),
    "http_429": (0.3, 0.3, 0.6),
}
"""Faults of the exchange: the share of the requests that meet it, and its shortest and longest duration in seconds."""

PER_MINUTE = {
    "kill worker": 8,
    "stall worker": 5,
    "stop worker": 4,
    "kill producer": 5,
    "stall producer": 2,
    "restart redis": 2,
    "kill redis": 2,
    "hang redis": 3,
    "fill redis": 2,
    "demote redis": 2,
    "cut redis": 8,
    "flush scripts": 6,
    "exchange away": 3,
    "exchange outage": 3,
    "exchange reset_before": 3,
    "exchange hang": 4,
    "exchange html": 3,
    "exchange http_500": 3,
    "exchange http_502": 3,
    "exchange code:45001": 4,
    "exchange code:40015": 2,
    "exchange reset_after": 5,
    "exchange cut": 5,
    "exchange empty": 3,
    "exchange fail": 2,
    "exchange latency": 4,
    "exchange http_429": 1,
    "throttle user": 6,
    "poison": 14,
    "rotate keys": 3,
    "wrong keys": 2,
    "pause user": 5,
    "pause trader": 2,
    "pause everything": 2,
    "pause egress": 1,
    "slow user": 3,
    "arq submit": 8,
}
"""How often each event happens in a minute; at least once in any run."""

NOT_FAULTS = frozenset({"pause user", "pause trader", "pause everything", "pause egress", "slow user", "arq submit"})
"""Events that are not counted as faults."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        at_s: its time, seconds from the start.
        kind: a key of PER_MINUTE.
        which: a number that selects the target: modulo the number of candidates.
        lasts_s: its duration in seconds; 0 for a moment.
    """

    at_s: float
    kind: str
    which: int = 0
    lasts_s: float = 0.0

    @property
    def is_fault(self) -> bool:
        """Whether it counts as a fault."""
        return self.kind not in NOT_FAULTS


def schedule(seed: int, seconds: float) -> list[Event]:
    """Return the events of a run in order of time.

    Args:
        seed: the source of all chance.
        seconds: the length of the run, at least MIN_SECONDS.
    """
    rng = random.Random(seed)
    events = []
    for kind, per_minute in PER_MINUTE.items():
        count = max(1, round(per_minute * seconds / 60))
        # One event in each part of the time, so that they are spread out.
        part_s = (seconds - QUIET_START_S) / count
        for number in range(count):
            at_s = QUIET_START_S + part_s * (number + rng.random())
            events.append(Event(round(at_s, 3), kind, rng.randrange(1_000_000), _lasts_s(kind, rng)))
    return sorted(events, key=lambda event: (event.at_s, event.kind))


def _lasts_s(kind: str, rng: random.Random) -> float:
    if kind.startswith("exchange ") and kind != "exchange away":
        _, shortest, longest = WINDOWS[kind.removeprefix("exchange ")]
    else:
        shortest, longest = {
            "stall worker": (LEASE_S + 0.5, LEASE_S + 5.0),
            "stall producer": (1.0, 3.0),
            "hang redis": (0.5, 3.5),
            "fill redis": (0.3, 1.2),
            "demote redis": (0.3, 1.2),
            "exchange away": (0.8, 2.0),
            "wrong keys": (1.5, 3.0),
            "throttle user": (1.0, 2.0),
            "pause user": (1.0, 3.0),
            "pause trader": (1.0, 2.0),
            "pause everything": (0.5, 1.0),
            "pause egress": (0.5, 1.0),
            "slow user": (1.0, 4.0),
        }.get(kind, (0.0, 0.0))
    return round(rng.uniform(shortest, longest), 3)

"""The events of a run and their times. No I/O: they depend on the seed and the length of the run only."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

MIN_SECONDS = 8.0
QUIET_START_S = 1.5
"""The first event comes after this time, when the workers have started."""

WORKERS = 3
PRODUCERS = 4
SESSION_TTL_S = 2.0
REQUEST_TIMEOUT_S = 1.5


class Kind(NamedTuple):
    """A kind of event.

    Attributes:
        per_minute: how often it happens in a minute; at least once in any run.
        shortest_s: its shortest duration; 0 for a moment.
        longest_s: its longest duration.
        share: for a fault of the exchange, the share of the requests that meet it.
        is_fault: whether it counts as a fault; operators' actions do not.
    """

    per_minute: int
    shortest_s: float = 0.0
    longest_s: float = 0.0
    share: float = 1.0
    is_fault: bool = True


KINDS = {
    "kill worker": Kind(8),
    "stall worker": Kind(5, SESSION_TTL_S + 0.5, SESSION_TTL_S + 5.0),
    "stop worker": Kind(4),
    "kill producer": Kind(5),
    "stall producer": Kind(2, 1.0, 3.0),
    "restart redis": Kind(2),
    "kill redis": Kind(2),
    "hang redis": Kind(3, 0.5, 3.5),
    "fill redis": Kind(2, 0.3, 1.2),
    "demote redis": Kind(2, 0.3, 1.2),
    "cut redis": Kind(8),
    "flush scripts": Kind(6),
    "exchange away": Kind(3, 0.8, 2.0),
    "exchange outage": Kind(3, 0.6, 1.6),
    "exchange reset_before": Kind(3, 0.4, 1.0),
    "exchange hang": Kind(4, 0.5, 1.5, share=0.2),
    "exchange html": Kind(3, 0.5, 1.5, share=0.5),
    "exchange http_500": Kind(3, 0.5, 2.0, share=0.4),
    "exchange http_502": Kind(3, 0.5, 2.0, share=0.4),
    "exchange code:45001": Kind(4, 0.5, 2.0, share=0.6),
    "exchange code:40015": Kind(2, 0.5, 1.5, share=0.4),
    "exchange reset_after": Kind(5, 0.5, 1.5, share=0.4),
    "exchange cut": Kind(5, 0.5, 1.5, share=0.4),
    "exchange empty": Kind(3, 0.5, 1.5, share=0.4),
    "exchange stale": Kind(3, 0.5, 1.5, share=0.4),
    "exchange unsolicited": Kind(3, 0.5, 1.5, share=0.4),
    "exchange fail": Kind(2, 0.3, 1.0, share=0.15),
    "exchange latency": Kind(4, 0.5, 2.0, share=0.3),
    "exchange http_429": Kind(1, 0.3, 0.6, share=0.3),
    "throttle user": Kind(6, 1.0, 2.0),
    "poison": Kind(14),
    "rotate keys": Kind(3),
    "wrong keys": Kind(2, 1.5, 3.0),
    "pause user": Kind(5, 1.0, 3.0, is_fault=False),
    "pause trader": Kind(2, 1.0, 2.0, is_fault=False),
    "pause everything": Kind(2, 0.5, 1.0, is_fault=False),
    "pause egress": Kind(1, 0.5, 1.0, is_fault=False),
    "slow user": Kind(3, 1.0, 4.0, is_fault=False),
    "pin users": Kind(3, 0.5, 3.0, is_fault=False),
    "arq submit": Kind(8, is_fault=False),
}
"""All kinds of events on a single server, by name."""

SINGLE_SERVER = frozenset({"restart redis", "kill redis", "hang redis", "demote redis", "arq submit"})
"""Kinds that a cluster does not have: an app with only arq cannot use one."""

CLUSTER_KINDS = {name: kind for name, kind in KINDS.items() if name not in SINGLE_SERVER} | {
    "kill owner": Kind(5, 0.0, 0.1),
    "freeze owner": Kind(2, 3.0, 5.0),
    "hang owner": Kind(3, 0.3, 1.2),
    "fail over": Kind(4),
    "move slot": Kind(6),
    "move slot key by key": Kind(2, 0.3, 2.5),
}
"""All kinds of events on a cluster, by name. A replica takes the place of an owner that was killed, or frozen for
longer than the nodes' time-out; one that hangs is back before that. The replica gets nothing for a while before the
owner is killed: what was written meanwhile is lost."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        at_s: its time, seconds from the start.
        kind: a key of KINDS, or of CLUSTER_KINDS.
        which: a number that selects the target: modulo the number of candidates.
        lasts_s: its duration in seconds; 0 for a moment.
    """

    at_s: float
    kind: str
    which: int = 0
    lasts_s: float = 0.0


def kinds(*, in_cluster: bool, shards: int = 1) -> dict[str, Kind]:
    """Return the kinds of events of a run, by name. An app with only arq cannot use a queue with several shards."""
    if in_cluster:
        return CLUSTER_KINDS
    return KINDS if shards == 1 else {name: kind for name, kind in KINDS.items() if name != "arq submit"}


def schedule(seed: int, seconds: float, *, in_cluster: bool = False, shards: int = 1) -> list[Event]:
    """Return the events of a run in order of time.

    Args:
        seed: the source of all chance.
        seconds: the length of the run, at least MIN_SECONDS.
        in_cluster: whether the server is a cluster.
        shards: of the queue.
    """
    rng = random.Random(seed)
    events = []
    for name, kind in kinds(in_cluster=in_cluster, shards=shards).items():
        count = max(1, round(kind.per_minute * seconds / 60))
        # One event in each part of the time, so that they are spread out.
        part_s = (seconds - QUIET_START_S) / count
        for number in range(count):
            at_s = QUIET_START_S + part_s * (number + rng.random())
            lasts_s = rng.uniform(kind.shortest_s, kind.longest_s)
            events.append(Event(round(at_s, 3), name, rng.randrange(1_000_000), round(lasts_s, 3)))
    return sorted(events, key=lambda event: (event.at_s, event.kind))

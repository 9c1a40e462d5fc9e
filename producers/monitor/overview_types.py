"""The figures of an overview: the queue at one moment. No I/O."""

from __future__ import annotations

import msgspec

from producers.contract.messages import Priority
from producers.monitor.worker_info import WorkerInfo
from producers.queue.pauses import Pause

_MS_PER_S = 1000


class ScheduleLoad(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The schedules of one priority: that of users of any egress, and those of users that are pinned to one.

    Attributes:
        users: how many users they hold: those whose next change waits for a time or a worker. A user whose pause, or
            whose trader's, holds its changes back is in none once a worker has seen it, nor is one that waits for its
            own request in flight.
        due: how many of them may be claimed for now.
        oldest_due_s: how long the first of them has been due; 0 if none is.
    """

    users: int
    due: int
    oldest_due_s: float


class EgressStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One egress IP.

    Attributes:
        name: its name.
        workers: how many worker processes send through it.
        rate_per_s: their configured limit, the highest; None without workers.
        backlog_s: how far its bucket is ahead of now. From 0.1 on (its burst), lanes wait for its limit.
        hold_s: seconds until it may send again after many users were throttled; 0 without such a hold.
        trouble: why its breaker is open, "failing", "throttled" or "refused <code>"; None if it is closed.
        probe_in_s: seconds until the open breaker's next probe; 0 if it is due.
        floor_ms: the shortest round trip to the exchange in the last minutes; None if unknown.
        paused: whether it is paused.
        pinned_users: how many users are pinned to it.
        pinned_due: how many of them may be claimed for now; one with changes of both priorities may count twice.
        requests: how many requests have taken a slot of it, since it last sent nothing for a minute or so.
    """

    name: str
    workers: int
    rate_per_s: float | None
    backlog_s: float
    hold_s: float
    trouble: str | None
    probe_in_s: float
    floor_ms: float | None
    paused: bool
    pinned_users: int = 0
    pinned_due: int = 0
    requests: int = 0


class NextLane(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The next lane of one of the users that are due first.

    Attributes:
        user_id: its user.
        trader_id: its trader.
        priority: the schedule it is on.
        queued: how many changes it holds.
        due_in_s: seconds until its user is due, negative if it is overdue.
        hold_s: seconds until its user's hold ends; 0 without a hold.
        rate_per_s: its user's own rate; None without one.
        paused: whether its user or its trader is paused.
    """

    user_id: str
    trader_id: str
    priority: Priority
    queued: int
    due_in_s: float
    hold_s: float
    rate_per_s: float | None
    paused: bool


class Overview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The queue at one moment.

    Attributes:
        at_ms: the moment, Unix milliseconds, Redis's clock.
        interactive: the scheduled users with a lane that holds an interactive change.
        bulk: the scheduled users with a lane that holds only bulk changes.
        in_flight: how many lanes are in flight.
        paused_lanes: how many lanes wait for the end of a pause of their user or trader, of the pauses listed here.
            Lanes of a trader are counted once a worker has come upon them.
        outcomes: how many changes have finished with each outcome, ever; every outcome is a key.
        unreadable: how many stored entries no worker could read, ever.
        dead: how many dead letters there are of each outcome; those that expired recently may be counted.
        pauses: the pauses in force, oldest first; at most 100, a pause of everything always among them.
        pauses_total: how many pauses there are.
        overrides: how many users have a rate of their own.
        refused: how many users are stopped because the exchange rejected their API keys.
        batches: how many batches are kept.
        workers: the workers whose session has not ended, by egress and name; at most 200.
        egresses: the egresses of the workers, those that users are pinned to, and those used recently, by name; at most
            200.
        next_lanes: the next lane of each of the users that are due first, in that order; at most 20.
        malformed: how many stored entries were left out of this overview, because they cannot be read.
    """

    at_ms: int
    interactive: ScheduleLoad
    bulk: ScheduleLoad
    in_flight: int
    paused_lanes: int
    outcomes: dict[str, int]
    unreadable: int
    dead: dict[str, int]
    pauses: list[Pause]
    pauses_total: int
    overrides: int
    refused: int
    batches: int
    workers: list[WorkerInfo]
    egresses: list[EgressStatus]
    next_lanes: list[NextLane]
    malformed: int = 0

    @property
    def ended(self) -> int:
        """How many changes have finished, ever."""
        return sum(self.outcomes.values())

    @property
    def everything_paused(self) -> bool:
        """Whether everything is paused."""
        return any(pause.kind == "everything" for pause in self.pauses)


def rates_per_s(earlier: Overview, later: Overview) -> dict[str, float]:
    """Return the changes per second that finished with each outcome between two overviews.

    A count that went down, because Redis was flushed, is 0.
    """
    passed_s = (later.at_ms - earlier.at_ms) / _MS_PER_S
    finished = {outcome: max(0, count - earlier.outcomes.get(outcome, 0)) for outcome, count in later.outcomes.items()}
    return {outcome: count / passed_s if passed_s > 0 else 0.0 for outcome, count in finished.items()}

"""The queue as metrics: what an overview of it says, and the memory of its Redis. No I/O.

ops/METRICS.md says what each means; a test compares that page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from producers.contract.messages import THROTTLED, Priority
from producers.monitor.instruments import Counter, Family, Gauge
from producers.monitor.overview_types import EgressStatus, Overview, ScheduleLoad
from producers.queue.breaker import FAILING

TROUBLES = (FAILING, THROTTLED, "refused")
"""What a breaker can be open for; `EgressStatus.trouble` has the exchange's code behind the last one."""


class Memory(msgspec.Struct, frozen=True):
    """The memory of Redis, bytes.

    Attributes:
        used: what counts against the limit.
        limit: `maxmemory`; 0 for none.
    """

    used: int
    limit: int


def memory_of(info: Mapping[str, Any]) -> Memory | None:
    """Return the memory that INFO reports; None if it reports none."""
    try:
        uncounted = int(info.get("mem_not_counted_for_evict", 0))
        return Memory(used=int(info["used_memory"]) - uncounted, limit=int(info.get("maxmemory", 0)))
    except (KeyError, ValueError, TypeError):
        return None


def fullest(found: Sequence[Memory | None]) -> Memory | None:
    """Return the memory of which the largest share is used; None if none is known."""
    known = [memory for memory in found if memory is not None]
    return max(
        known, key=lambda memory: (memory.used / memory.limit if memory.limit else 0.0, memory.used), default=None
    )


def queue_metrics(overview: Overview | None, memory: Memory | None) -> list[Family]:
    """Return the metrics of the queue.

    Args:
        overview: the queue; None if Redis did not answer.
        memory: its Redis's; None if that is not known.
    """
    found: list[Family] = [_gauge("copytrade_queue_up", "1 if Redis answered this scrape", int(overview is not None))]
    if overview is not None:
        found += [*_schedules(overview), *_ended(overview), *_sizes(overview), *_egresses(overview.egresses)]
    if memory is not None:
        found.append(_gauge("copytrade_redis_memory_used_bytes", "memory that counts against the limit", memory.used))
        found.append(_gauge("copytrade_redis_memory_limit_bytes", "maxmemory; 0 for no limit", memory.limit))
    return found


def _schedules(overview: Overview) -> Iterator[Family]:
    users = Gauge("copytrade_queue_users", "scheduled users", "priority", "state")
    oldest = Gauge("copytrade_queue_oldest_due_seconds", "how long the first due user has been due", "priority")
    load: ScheduleLoad
    for priority, load in ((Priority.INTERACTIVE, overview.interactive), (Priority.BULK, overview.bulk)):
        users.set(load.due, priority.value, "due")
        users.set(load.users - load.due, priority.value, "later")
        oldest.set(load.oldest_due_s, priority.value)
    yield users
    yield oldest


def _ended(overview: Overview) -> Iterator[Family]:
    changes = Counter("copytrade_queue_changes_total", "changes that ended, ever", "outcome")
    for outcome, count in overview.outcomes.items():
        changes.add(outcome, amount=count)
    yield changes
    unreadable = Counter("copytrade_queue_unreadable_total", "stored entries that no worker could read, ever")
    unreadable.add(amount=overview.unreadable)
    yield unreadable
    letters = Gauge("copytrade_queue_dead_letters", "dead letters", "outcome")
    for outcome, count in overview.dead.items():
        letters.set(count, outcome)
    yield letters


def _sizes(overview: Overview) -> Iterator[Family]:
    yield _gauge("copytrade_queue_in_flight_lanes", "lanes that workers have in flight", overview.in_flight)
    yield _gauge("copytrade_queue_paused_lanes", "lanes that wait for the end of a pause", overview.paused_lanes)
    yield _gauge("copytrade_queue_pauses", "pauses in force", overview.pauses_total)
    yield _gauge("copytrade_queue_everything_paused", "1 while everything is paused", int(overview.everything_paused))
    yield _gauge("copytrade_queue_rejected_key_users", "users whose API keys the exchange rejected", overview.refused)
    yield _gauge("copytrade_queue_own_limit_users", "users with a rate of their own", overview.overrides)
    yield _gauge("copytrade_queue_batches", "batches that are kept", overview.batches)


def _egresses(egresses: list[EgressStatus]) -> Iterator[Family]:
    workers = Gauge("copytrade_queue_workers", "workers that are alive", "egress")
    pinned = Gauge("copytrade_egress_pinned_users", "users that are pinned to it", "egress")
    pinned_due = Gauge("copytrade_egress_pinned_due_users", "due users that are pinned to it", "egress")
    backlog = Gauge("copytrade_egress_backlog_seconds", "how far its bucket is ahead of now", "egress")
    hold = Gauge("copytrade_egress_hold_seconds", "time until a throttled egress may send again", "egress")
    limit = Gauge("copytrade_egress_limit_per_second", "its workers' limit", "egress")
    paused = Gauge("copytrade_egress_paused", "1 while it is paused", "egress")
    floor = Gauge("copytrade_egress_round_trip_floor_seconds", "the shortest round trip of the last minutes", "egress")
    breaker = Gauge("copytrade_egress_breaker_open", "1 while its breaker is open", "egress", "trouble")
    for egress in egresses:
        workers.set(egress.workers, egress.name)
        pinned.set(egress.pinned_users, egress.name)
        pinned_due.set(egress.pinned_due, egress.name)
        backlog.set(egress.backlog_s, egress.name)
        hold.set(egress.hold_s, egress.name)
        paused.set(int(egress.paused), egress.name)
        if egress.rate_per_s is not None:
            limit.set(egress.rate_per_s, egress.name)
        if egress.floor_ms is not None:
            floor.set(egress.floor_ms / 1000, egress.name)
        found = (egress.trouble or "").partition(" ")[0]
        for trouble in TROUBLES:
            breaker.set(int(trouble == found), egress.name, trouble)
    yield from (workers, pinned, pinned_due, backlog, hold, limit, paused, floor, breaker)


def _gauge(name: str, meaning: str, value: float) -> Gauge:
    gauge = Gauge(name, meaning)
    gauge.set(value)
    return gauge

"""The overview of a queue with several shards, from those of its shards. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from producers.contract.stored_values import Listing
from producers.monitor.overview import MAX_EGRESSES, MAX_LANES, MAX_PAUSES, MAX_WORKERS
from producers.monitor.overview_types import EgressStatus, Overview, ScheduleLoad
from producers.queue.pauses import merge_pauses


def merge_overviews(parts: Sequence[Overview]) -> Overview:
    """Return the overview of all shards.

    A worker is announced in each of them, a batch has a part in each of them, and so has the bucket of an egress.
    """
    if len(parts) == 1:
        return parts[0]
    pauses = merge_pauses([Listing(part.pauses) for part in parts])
    repeated = sum(len(part.pauses) for part in parts) - len(pauses)
    workers = {worker.name: worker for part in parts for worker in part.workers}
    lanes = sorted((lane for part in parts for lane in part.next_lanes), key=lambda lane: lane.due_in_s)
    return Overview(
        at_ms=max(part.at_ms for part in parts),
        interactive=_merge_loads([part.interactive for part in parts]),
        bulk=_merge_loads([part.bulk for part in parts]),
        in_flight=sum(part.in_flight for part in parts),
        paused_lanes=sum(part.paused_lanes for part in parts),
        outcomes=_add(part.outcomes for part in parts),
        unreadable=sum(part.unreadable for part in parts),
        dead=_add(part.dead for part in parts),
        pauses=[*pauses][:MAX_PAUSES],
        pauses_total=sum(part.pauses_total for part in parts) - repeated,
        overrides=sum(part.overrides for part in parts),
        refused=sum(part.refused for part in parts),
        batches=max(part.batches for part in parts),
        workers=sorted(workers.values(), key=lambda worker: (worker.egress, worker.name))[:MAX_WORKERS],
        egresses=_merge_egresses(parts)[:MAX_EGRESSES],
        next_lanes=lanes[:MAX_LANES],
        malformed=sum(part.malformed for part in parts),
    )


def _merge_loads(parts: Sequence[ScheduleLoad]) -> ScheduleLoad:
    return ScheduleLoad(
        users=sum(part.users for part in parts),
        due=sum(part.due for part in parts),
        oldest_due_s=max(part.oldest_due_s for part in parts),
    )


def _add(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            found[name] = found.get(name, 0) + count
    return found


def _merge_egresses(parts: Sequence[Overview]) -> list[EgressStatus]:
    by_name: defaultdict[str, list[EgressStatus]] = defaultdict(list)
    for egress in (egress for part in parts for egress in part.egresses):
        by_name[egress.name].append(egress)
    return [_merge_egress(by_name[name]) for name in sorted(by_name)]


def _merge_egress(parts: Sequence[EgressStatus]) -> EgressStatus:
    """Return the status of an egress: in trouble if it is so anywhere, and probed when the first probe is due."""
    rates_per_s = [part.rate_per_s for part in parts if part.rate_per_s is not None]
    floors_ms = [part.floor_ms for part in parts if part.floor_ms is not None]
    in_trouble = [part for part in parts if part.trouble is not None]
    first = min(in_trouble or parts, key=lambda part: part.probe_in_s)
    return msgspec.structs.replace(
        first,
        workers=max(part.workers for part in parts),
        rate_per_s=max(rates_per_s, default=None),
        backlog_s=max(part.backlog_s for part in parts),
        hold_s=max(part.hold_s for part in parts),
        floor_ms=min(floors_ms, default=None),
        paused=any(part.paused for part in parts),
        pinned_users=sum(part.pinned_users for part in parts),
        pinned_due=sum(part.pinned_due for part in parts),
        requests=sum(part.requests for part in parts),
    )

"""Whether the queue is being drained, by an overview of it. Figures in, findings out; no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from producers.monitor.checks import Check, fail, ok, warn
from producers.monitor.overview_types import EgressStatus, Overview
from producers.monitor.worker_info import WorkerInfo
from producers.queue.pauses import Pause

LATE_S = 5.0
"""A lane that is due is claimed within milliseconds; a worker looks every 3 s even if nobody tells it."""

SILENT_INTERVALS = 2
"""A worker that missed this many beats hangs, or has lost Redis; it vanishes with the third."""

HANDS_FULL = 0.9
"""From this part of all workers' `max_jobs` on, lanes wait for hands."""

USED_UP_S = 0.1
"""An egress's bucket is as far ahead of now as its burst while its limit is used up; a single slot is hardly ahead."""

SHOWN = 5


def check_queue(overview: Overview) -> list[Check]:
    """All that an overview tells."""
    return [
        _workers(overview),
        *(_egress(egress, overview) for egress in overview.egresses),
        _lanes(overview),
        _pauses(overview),
        _dead(overview),
        _refused(overview),
        _unreadable(overview),
    ]


def _workers(overview: Overview) -> Check:
    workers, due = overview.workers, _due(overview)
    if not overview.workers_total:
        hint = "start one: python -m worker"
        if due:
            return fail("workers", f"none is alive, and {_lanes_are(due)} due", hint)
        return warn("workers", "none is alive", hint)
    silent = [worker.name for worker in workers if _silent(worker, overview.at_ms)]
    if silent:
        detail = f"{len(silent)} of {overview.workers_total} missed {SILENT_INTERVALS} beats: {_some(silent)}"
        return warn("workers", detail, "look at their logs: they were killed, hang, or do not reach Redis")
    versions = sorted({worker.version for worker in workers})
    if len(versions) > 1:
        detail = f"{overview.workers_total} alive, of different versions: {_some(versions)}"
        return warn("workers", detail, "finish the update, so that all are of one version")
    places = sum(worker.max_jobs for worker in workers)
    return ok("workers", f"{overview.workers_total} alive, {overview.in_hand} changes in {places} hands")


def _egress(egress: EgressStatus, overview: Overview) -> Check:
    name = f"egress {egress.name}"
    behind = [worker for worker in overview.workers if worker.egress == egress.name]
    if egress.hold_s > 0:
        detail = f"held for {egress.hold_s:.0f} s more: its own limit was met, or the exchange refuses it"
        return warn(name, detail, "wait; if it comes again, lower COPYTRADE_EGRESS_RATE_PER_S")
    if egress.trouble is not None:
        probe = f"one request at a time probes, the next in {egress.probe_in_s:.0f} s"
        return warn(name, f"its breaker is open ({egress.trouble}): {probe}", _cure(egress.trouble))
    if egress.paused:
        return warn(name, "paused", f"resume it when it may send again: copytrade resume --egress {egress.name}")
    if not behind:
        return warn(name, "was used of late, and no worker is behind it", "start one there, if it shall be used on")
    rates = sorted({(worker.user_rate_per_s, worker.egress_rate_per_s) for worker in behind})
    if len(rates) > 1:
        shown = _some([f"{user:g}/s a user and {exit_:g}/s in all" for user, exit_ in rates])
        hint = "give all workers of one egress the same COPYTRADE_USER_RATE_PER_S and COPYTRADE_EGRESS_RATE_PER_S"
        return warn(name, f"its workers are set to different rates: {shown}", hint)
    ((user_rate, egress_rate),) = rates
    floor = "" if egress.floor_ms is None else f", round trips from {egress.floor_ms:.0f} ms"
    return ok(name, f"{len(behind)} workers, {user_rate:g}/s a user, {egress_rate:g}/s in all{floor}")


def _cure(trouble: str) -> str:
    if trouble == "failing":
        return "nothing is lost, and it closes by itself; look whether the exchange is up, and at the way to it"
    return "many users' keys were refused alike: look at the egress's address, the clock and the source of the keys"


def _lanes(overview: Overview) -> Check:
    due = _due(overview)
    oldest_s = max(overview.interactive.oldest_due_s, overview.bulk.oldest_due_s)
    detail = f"{overview.lanes} hold changes, {due} are due"
    if oldest_s <= LATE_S:
        return ok("lanes", detail)
    late = f"{detail}; the first has waited {oldest_s:.0f} s"
    reason = _reason_to_wait(overview)
    if reason is not None:
        return ok("lanes", f"{late}: {reason}")
    if not overview.workers:
        return warn("lanes", f"{late} for a worker", "start one: python -m worker")
    places = sum(worker.max_jobs for worker in overview.workers)
    if overview.in_hand >= places * HANDS_FULL:
        hint = "start more workers or raise COPYTRADE_MAX_JOBS; if requests are slow, look at the exchange"
        return warn("lanes", f"{late}, all {places} hands of the workers being full", hint)
    return warn("lanes", f"{late}, beside workers with free hands", "look at the workers' logs: they do not claim")


def _reason_to_wait(overview: Overview) -> str | None:
    """Why lanes may well wait, if there is a reason; one egress that could send and does not is none."""
    if any(pause.kind == "everything" for pause in overview.pauses):
        return "everything is paused"
    staffed = [egress for egress in overview.egresses if egress.workers]
    if staffed and all(egress.paused or egress.hold_s > 0 or egress.trouble for egress in staffed):
        return "every egress is paused, held or failing"
    if any(egress.backlog_s >= USED_UP_S for egress in staffed):
        return "the limit of the egress is used up"
    return None


def _pauses(overview: Overview) -> Check:
    if not overview.pauses_total:
        return ok("pauses", "none")
    named = _some([_named(pause) for pause in overview.pauses], overview.pauses_total)
    return warn(
        "pauses", f"{overview.pauses_total} in force: {named}", "what is paused waits; resume it with: copytrade resume"
    )


def _dead(overview: Overview) -> Check:
    kept = {outcome: number for outcome, number in overview.dead.items() if number}
    if not kept:
        return ok("dead letters", "none")
    return ok("dead letters", ", ".join(f"{number} {outcome}" for outcome, number in kept.items()))


def _refused(overview: Overview) -> Check:
    if not overview.refused:
        return ok("keys", "no user's keys are refused")
    hint = "replace their keys; copytrade dead list --outcome unauthorized names them, copytrade user show ID tells why"
    return warn("keys", f"{overview.refused} users are stopped, since the exchange refused their keys", hint)


def _unreadable(overview: Overview) -> Check:
    if not overview.unreadable:
        return ok("unreadable", "nothing")
    detail = f"workers dropped {overview.unreadable} entries that they could not read"
    return warn("unreadable", detail, "something else writes to this Redis's keys; the workers' logs name each entry")


def _silent(worker: WorkerInfo, now_ms: int) -> bool:
    return now_ms - worker.beat_at_ms > worker.interval_s * SILENT_INTERVALS * 1000


def _due(overview: Overview) -> int:
    return overview.interactive.due + overview.bulk.due


def _lanes_are(number: int) -> str:
    return "1 lane is" if number == 1 else f"{number} lanes are"


def _named(pause: Pause) -> str:
    return f"{pause.kind} {pause.name}".strip()


def _some(names: Sequence[str], total: int | None = None) -> str:
    """The first names, and how many there are beside."""
    more = (len(names) if total is None else total) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown

"""Checks of an overview: workers, egresses, lanes, pauses, dead letters, rejected keys. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from producers.contract.layout import LAYOUT
from producers.contract.messages import THROTTLED
from producers.contract.wording import plural
from producers.monitor.checks import Check, CheckStatus, fail, ok, warn
from producers.monitor.overview_types import EgressStatus, Overview
from producers.monitor.worker_info import WorkerInfo
from producers.queue.breaker import FAILING
from producers.queue.migration import MigrationReport
from producers.transport.layout_check import is_later

LATE_S = 5.0
"""From this time on, a due lane is late: it is claimed within milliseconds, or 3 s if a wake-up was lost."""

MISSED_HEARTBEATS = 2
"""A worker that missed this many hangs, or does not reach Redis. After the third its announcement expires."""

BUSY_SHARE = 0.9
"""From this share of all workers' `max_jobs` on, lanes wait for a free job slot."""

LIMIT_REACHED_S = 0.1
"""The backlog (the burst) of an egress whose limit is used up; below the limit its backlog is one slot."""

LIMIT_SHARE = 0.7
"""From this share of its rate on, an egress sends at its limit. Workers take slots in runs, and what the rate leaves
between them is no sign of free room."""

MAX_NAMES = 5

_THROTTLED_HINT = "wait; if it happens again, lower COPYTRADE_EGRESS_RATE_PER_S"


def needs_second_look(overview: Overview) -> bool:
    """Return whether lanes wait beside workers that look free: the backlog of an egress at its limit comes and goes."""
    return bool(overview.workers) and _lanes(overview, None).status is not CheckStatus.OK


def check_queue(overview: Overview, earlier: Overview | None = None) -> list[Check]:
    """Return all checks of an overview.

    Args:
        overview: the queue now.
        earlier: an overview of a second or so before, for the rates of its egresses; None if there is none.
    """
    return [
        _workers(overview),
        *(_egress(egress, overview) for egress in overview.egresses),
        _lanes(overview, earlier),
        _pauses(overview),
        _dead_letters(overview),
        _rejected_keys(overview),
        _unreadable(overview),
    ]


def check_layout(found: MigrationReport, mark: str = LAYOUT) -> Check:
    """Return the check of the queue's layout, and of what programs of earlier versions have left beside it.

    Args:
        found: what is left to move, and the layout.
        mark: what these settings expect the layout to be: its number of shards is in it.
    """
    (version, _, shards), (_, _, own_shards) = found.layout.partition("/"), mark.partition("/")
    if version == LAYOUT and shards != own_shards:
        detail = f"the queue has {plural(int(shards or 1), 'shard')}, and these settings have {own_shards or 1}"
        return fail("layout", detail, f"set COPYTRADE_SHARDS={shards or 1} everywhere: the number never changes")
    stop = "stop all programs of the earlier version, then run: copytrade migrate --yes"
    if is_later(version):
        return fail("layout", f"{found.layout}, of a later version", "update this program")
    if version != LAYOUT:
        detail = (
            f"{found.layout}, of an earlier version: {plural(found.lanes, 'lane')} and {plural(found.batches, 'batch')}"
        )
        return fail("layout", detail, stop)
    if found.lanes or found.batches:
        left = f"{plural(found.lanes, 'lane')} and {plural(found.batches, 'batch')}"
        return warn("layout", f"a program of an earlier version left {left}, which wait", stop)
    return ok("layout", found.layout)


def _workers(overview: Overview) -> Check:
    if not overview.workers:
        hint, due = "start one: python -m worker", _due(overview)
        if due:
            return fail("workers", f"none is alive, and {due} {'user is' if due == 1 else 'users are'} due", hint)
        return warn("workers", "none is alive", hint)
    silent = [worker.name for worker in overview.workers if _is_silent(worker, overview.at_ms)]
    if silent:
        detail = f"{len(silent)} of {len(overview.workers)} missed {MISSED_HEARTBEATS} heartbeats: {_join(silent)}"
        return warn("workers", detail, "look at their logs: they hang, or do not reach Redis")
    versions = sorted({worker.version for worker in overview.workers})
    if len(versions) > 1:
        detail = f"{len(overview.workers)} alive, of different versions: {_join(versions)}"
        return warn("workers", detail, "finish the update, so that all have the same version")
    detail = f"{len(overview.workers)} alive, {overview.in_flight} of {_max_jobs(overview)} job slots in use"
    return ok("workers", detail)


def _egress(egress: EgressStatus, overview: Overview) -> Check:
    name = f"egress {egress.name}"
    if egress.hold_s > 0:
        detail = f"held for {egress.hold_s:.0f} s more: the exchange throttles many users; then it sends only a probe"
        return warn(name, detail, _THROTTLED_HINT)
    if egress.trouble is not None:
        detail = f"its breaker is open ({egress.trouble}): it sends only a probe, next in {egress.probe_in_s:.0f} s"
        return warn(name, detail, _breaker_hint(egress.trouble))
    if egress.paused:
        return warn(name, "paused", f"resume it when it may send again: copytrade resume --egress {egress.name}")
    behind = [worker for worker in overview.workers if worker.egress == egress.name]
    rates = sorted({(worker.user_rate_per_s, worker.egress_rate_per_s) for worker in behind})
    if not rates and egress.pinned_users:
        return _nobody_for_pinned(egress)
    if not rates:
        return warn(name, "was used recently, and no worker is behind it", "start one there, if it is still needed")
    if len(rates) > 1:
        listed = _join([f"{user:g}/s a user and {total:g}/s in all" for user, total in rates])
        hint = "give all workers of one egress the same COPYTRADE_USER_RATE_PER_S and COPYTRADE_EGRESS_RATE_PER_S"
        return warn(name, f"its workers have different rates: {listed}", hint)
    ((user_rate, egress_rate),) = rates
    round_trip = "" if egress.floor_ms is None else f", round trips from {egress.floor_ms:.0f} ms"
    return ok(name, f"{plural(egress.workers, 'worker')}, {user_rate:g}/s a user, {egress_rate:g}/s in all{round_trip}")


def _nobody_for_pinned(egress: EgressStatus) -> Check:
    """Return the check of an egress without workers that users are pinned to."""
    pinned = plural(egress.pinned_users, "pinned user")
    detail = f"no worker of it is alive: the changes of its {pinned} wait; {egress.pinned_due} due"
    hint = f"start one with COPYTRADE_EGRESS={egress.name}, or pin them to another egress: copytrade user pins"
    return (fail if egress.pinned_due else warn)(f"egress {egress.name}", detail, hint)


def _breaker_hint(open_reason: str) -> str:
    if open_reason == THROTTLED:
        return _THROTTLED_HINT
    if open_reason == FAILING:
        return "no change is lost, and it closes by itself; check the exchange, and the network to it"
    return "the keys of many users were rejected at once: check the egress's address, the clock and the keys' source"


def _lanes(overview: Overview, earlier: Overview | None) -> Check:
    oldest_s = max(overview.interactive.oldest_due_s, overview.bulk.oldest_due_s)
    waiting = overview.interactive.users + overview.bulk.users
    detail = f"{plural(waiting, 'user')} scheduled, {_due(overview)} due"
    if oldest_s <= LATE_S:
        return ok("lanes", detail)
    late = f"{detail}; the first has waited {oldest_s:.0f} s"
    reason = _reason_to_wait(overview, earlier)
    if reason is not None:
        return ok("lanes", f"{late}: {reason}")
    if not overview.workers:
        return warn("lanes", f"{late} for a worker", "start one: python -m worker")
    stranded = [egress for egress in overview.egresses if egress.pinned_due and not egress.workers]
    if stranded and sum(egress.pinned_due for egress in stranded) >= _due(overview):
        return ok("lanes", f"{late}: all are pinned to {_join([egress.name for egress in stranded])}, without a worker")
    max_jobs = _max_jobs(overview)
    if overview.in_flight >= max_jobs * BUSY_SHARE:
        hint = "start more workers or raise COPYTRADE_MAX_JOBS; if requests are slow, check the exchange"
        return warn("lanes", f"{late}, while all {max_jobs} job slots of the workers are in use", hint)
    hint = "look at the workers' logs: they do not claim"
    if stranded:
        hint = f"start a worker of {_join([egress.name for egress in stranded])}; if others still wait, {hint}"
    return warn("lanes", f"{late}, while workers have free job slots", hint)


def _reason_to_wait(overview: Overview, earlier: Overview | None) -> str | None:
    """Return the expected reason why due lanes wait; None if an egress could send."""
    if any(pause.kind == "everything" for pause in overview.pauses):
        return "everything is paused"
    egresses = [egress for egress in overview.egresses if egress.workers]
    if egresses and all(egress.paused or egress.hold_s > 0 or egress.trouble for egress in egresses):
        return "every egress is paused, held or failing"
    if any(egress.backlog_s >= LIMIT_REACHED_S or _is_at_limit(egress, overview, earlier) for egress in egresses):
        return "the limit of the egress is used up"
    return None


def _is_at_limit(egress: EgressStatus, overview: Overview, earlier: Overview | None) -> bool:
    """Return whether an egress has sent at its limit since an earlier overview."""
    if earlier is None or egress.rate_per_s is None or overview.at_ms <= earlier.at_ms:
        return False
    before = next((one.requests for one in earlier.egresses if one.name == egress.name), 0)
    sent_per_s = (egress.requests - before) / (overview.at_ms - earlier.at_ms) * 1000
    return sent_per_s >= egress.rate_per_s * LIMIT_SHARE


def _pauses(overview: Overview) -> Check:
    if not overview.pauses_total:
        return ok("pauses", "none")
    names = _join([f"{pause.kind} {pause.name}".strip() for pause in overview.pauses], overview.pauses_total)
    detail = f"{overview.pauses_total} in force: {names}"
    scope = next((f"--{pause.kind} {pause.name}".strip() for pause in overview.pauses), "--user ID")
    hint = f"their changes wait; resume them, such as with: copytrade resume {scope}"
    return warn("pauses", detail, hint)


def _dead_letters(overview: Overview) -> Check:
    counts = [f"{count} {outcome}" for outcome, count in overview.dead.items() if count]
    return ok("dead letters", ", ".join(counts) or "none")


def _rejected_keys(overview: Overview) -> Check:
    if not overview.refused:
        return ok("keys", "no user's keys are rejected")
    hint = (
        "replace their keys, or run: copytrade user resume ID; list them: copytrade dead list --outcome unauthorized;"
        " reason: copytrade user show ID"
    )
    return warn("keys", f"{plural(overview.refused, 'user')} stopped because the exchange rejected their keys", hint)


def _unreadable(overview: Overview) -> Check:
    found = []
    if overview.unreadable:
        found.append(f"workers dropped {plural(overview.unreadable, 'entry')} that they could not read")
    if overview.malformed:
        found.append(f"this overview leaves out {plural(overview.malformed, 'entry')} that cannot be read")
    if not found:
        return ok("unreadable", "nothing")
    hint = "something else writes to this Redis's keys; the workers' logs name each entry that they drop"
    return warn("unreadable", "; ".join(found), hint)


def _is_silent(worker: WorkerInfo, now_ms: int) -> bool:
    return now_ms - worker.beat_at_ms > worker.interval_s * MISSED_HEARTBEATS * 1000


def _due(overview: Overview) -> int:
    return overview.interactive.due + overview.bulk.due


def _max_jobs(overview: Overview) -> int:
    return sum(worker.max_jobs for worker in overview.workers)


def _join(names: Sequence[str], total: int | None = None) -> str:
    """Return the first names, and how many more there are."""
    more = (len(names) if total is None else total) - MAX_NAMES
    listed = ", ".join(names[:MAX_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed

"""The plan that reads all that is known of one change."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from producers.contract import attempt_history, ids
from producers.contract.codec import StoredChange, decode_change
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Attempt, JobResult, Priority, SettingsChange
from producers.errors import MalformedChange
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.jobs import JobState, JobStatus, LocatedJob, locate_job
from producers.queue.lanes import priority_of_entry
from producers.transport.commands import GET, HGET
from producers.transport.plan import Plan


@dataclass(frozen=True, slots=True)
class JobDetails:
    """All that is known of a change.

    Attributes:
        job_id: its ID.
        status: its status.
        change: what it sets; None if that is not known. Of a change that has ended, `auto_copy` and `mode` are known
            only if it is a dead letter or of a template.
        attempts: its requests so far, oldest first, the last 20.
        enqueued_at_ms: when it was accepted, Unix milliseconds on Redis's clock; None if that is not known.
        expires_at_ms: its deadline; None if that is not known: it is forgotten when a change ends, unless it is a dead
            letter.
        priority: its own priority; known as long as its deadline.
        batch_id: the batch that it belongs to; None if it belongs to none.
        is_dead_letter: whether it is kept as a dead letter, which can be replayed.
    """

    job_id: str
    status: JobStatus
    change: SettingsChange | None = None
    attempts: list[Attempt] = field(default_factory=list)
    enqueued_at_ms: int | None = None
    expires_at_ms: int | None = None
    priority: Priority | None = None
    batch_id: str | None = None
    is_dead_letter: bool = False


def fetch_details(keys: Keyspace, job_id: str) -> Plan[JobDetails]:
    """Return all that is known of a change.

    Raises:
        JobNotFound: another arq app has a job of its ID.
    """
    found = yield from locate_job(keys, job_id)
    if found.status.result is not None:
        return (yield from _fetch_ended(keys, found.status.result, found))
    attempts: list[Attempt] = []
    if found.lane is not None:
        is_head = found.status.state is JobState.IN_FLIGHT or found.status.position == 0
        history = yield from HGET(keys.attempts + found.lane, "history")
        attempts = attempt_history.decode_for_job(history, found.job_id, is_head=is_head).attempts
    stored = found.stored
    return JobDetails(
        job_id=found.job_id,
        status=found.status,
        change=None if stored is None else stored.a[0],
        attempts=attempts,
        enqueued_at_ms=None if stored is None else stored.et,
        expires_at_ms=None if stored is None else _deadline_ms(stored),
        priority=priority_of_entry(found.entry) if found.entry else None,
        batch_id=ids.batch_id_of(found.job_id),
    )


def _fetch_ended(keys: Keyspace, result: JobResult, found: LocatedJob) -> Plan[JobDetails]:
    """Return what is known of a change that has ended: of its payload, only its result and its dead letter are left."""
    payload = (yield from GET(keys.dead_letter + found.job_id)) if result.outcome in DEAD_OUTCOMES else None
    letter = _decode(payload)
    change = None if letter is None else letter.a[0]
    if change is None and result.settings is not None:
        change = SettingsChange(user_id=result.user_id, trader_id=result.trader_id, settings=result.settings)
    if change is None and result.template_of is not None:
        template = _decode((yield from HGET(keys.batch + result.template_of, "template")))
        change = None if template is None else msgspec.structs.replace(template.a[0], user_id=result.user_id)
    return JobDetails(
        job_id=found.job_id,
        status=found.status,
        change=change,
        attempts=result.attempts,
        enqueued_at_ms=result.enqueued_at_ms or None,
        expires_at_ms=None if letter is None else _deadline_ms(letter),
        priority=None if letter is None else letter.k.priority or Priority.INTERACTIVE,
        batch_id=ids.batch_id_of(found.job_id),
        is_dead_letter=payload is not None,
    )


def _decode(payload: bytes | None) -> StoredChange | None:
    try:
        return None if payload is None else decode_change(payload)
    except MalformedChange:
        return None


def _deadline_ms(stored: StoredChange) -> int:
    return stored.et + stored.k.ttl_ms

"""Plans that read the status and the result of one change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgspec

from producers.contract import ids, keyspace
from producers.contract.codec import (
    BEGINNING_BYTES,
    StoredChange,
    decode_change,
    decode_result,
    is_foreign,
    is_submit_job,
)
from producers.contract.keyspace import Keyspace
from producers.contract.messages import CHANGE_SUFFIX, JobResult, Priority
from producers.contract.stored_values import read_each
from producers.contract.templates import change_of_template
from producers.contract.waits import Wait
from producers.errors import JobNotFound, MalformedChange
from producers.queue.lanes import LaneScore, entry, parse_head, parts, run_of_entry, template_entries
from producers.queue.wait_facts import fetch_wait
from producers.transport.commands import GET, GETRANGE, HGET, HMGET, LPOS, ZSCORE
from producers.transport.plan import Command, Plan, Transaction


class JobState(StrEnum):
    """The state of a change."""

    QUEUED = "queued"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a change, with its position or its result.

    Attributes:
        state: queued, in flight, done, or not found (never accepted, or its result has expired).
        position: how many changes of its lane are before it; only if queued.
        result: its result; only if done.
        wait: why it waits; only if queued.
    """

    state: JobState
    position: int | None = None
    result: JobResult | None = None
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class LocatedJob:
    """A change as it was found.

    Attributes:
        job_id: the ID under which it is stored.
        status: its status.
        lane: its lane; only while it is in one.
        entry: its entry in the lane.
        stored: what is stored of it, while it is in a lane; None if it is malformed.
    """

    job_id: str
    status: JobStatus
    lane: str | None = None
    entry: str = ""
    stored: StoredChange | None = None


def fetch_result(keys: Keyspace, job_id: str) -> Plan[JobResult | None]:
    """Return the result of a change, None while it has none.

    Raises:
        JobNotFound: the change was never accepted, or its result has expired; or another arq app has a job of its ID.
    """
    for name in _forms(job_id):
        stored, payload = yield from Transaction(GET(keys.result + name), beginning(keys.job + name))
        if stored is not None:
            return read_result(stored, name)
        if is_foreign(payload):
            payload = (yield from GET(keys.job + name)) or b""  # the function may come later in the payload
        if payload and not is_foreign(payload):
            return None
        if not payload and (yield from _locate_of_template(keys, name)).status.state is not JobState.NOT_FOUND:
            return None
    yield from reject_foreign(keys, job_id)
    raise JobNotFound(f"no change {job_id}: it was never accepted, or its result has expired")


def fetch_status(keys: Keyspace, job_id: str) -> Plan[JobStatus]:
    """Return the status of a change.

    Raises:
        JobNotFound: another arq app has a job of its ID.
    """
    return (yield from locate_job(keys, job_id)).status


def locate_job(keys: Keyspace, job_id: str) -> Plan[LocatedJob]:
    """Return the status of a change, where it is, and what is stored of it.

    Raises:
        JobNotFound: another arq app has a job of its ID.
    """
    for name in _forms(job_id):
        found = yield from _locate(keys, name)
        status = found.status
        if status.state is JobState.QUEUED and found.lane is not None and status.position is not None:
            wait = yield from fetch_wait(keys, found.lane, status.position)
            return replace(found, status=replace(status, wait=wait))
        if status.state is not JobState.NOT_FOUND:
            return found
    yield from reject_foreign(keys, job_id)
    return LocatedJob(job_id, JobStatus(JobState.NOT_FOUND))


def reject_foreign(keys: Keyspace, job_id: str) -> Plan[None]:
    """Explain why there is no change of an ID, if another arq app has a job of it.

    Raises:
        JobNotFound: it has.
    """
    names = (keys.job + job_id, keys.result + job_id)
    found = yield from Transaction(*map(beginning, names))
    for stored in found:
        if is_foreign(stored):
            raise _foreign_error(job_id, stored)


def _foreign_error(job_id: str, stored: bytes) -> JobNotFound:
    if is_submit_job(stored):
        change_id = job_id + CHANGE_SUFFIX
        return JobNotFound(f"no change {job_id}: the ID is that of a control job; ask for its change, {change_id}")
    return JobNotFound(f"no change {job_id}: the ID is that of another arq app's job in this database")


def beginning(key: str) -> Command[bytes]:
    """Read the first bytes of a stored change or result: those that tell whether it is one."""
    return GETRANGE(key, 0, BEGINNING_BYTES - 1)


def _forms(job_id: str) -> list[str]:
    """Return the names to look for: the ID, and for a change of a batch also the ID with the other mark."""
    other = ids.other_form(job_id)
    return [job_id] if other is None else [job_id, other]


def _locate(keys: Keyspace, job_id: str) -> Plan[LocatedJob]:
    stored, payload = yield from Transaction(GET(keys.result + job_id), GET(keys.job + job_id))
    if stored is not None:
        return LocatedJob(job_id, JobStatus(JobState.DONE, result=read_result(stored, job_id)))
    if payload is None:
        return (yield from _locate_of_template(keys, job_id))
    if is_foreign(payload):
        return LocatedJob(job_id, JobStatus(JobState.NOT_FOUND))
    located = locate(payload, job_id)
    if located is None:  # it will finish as rejected when it is claimed
        return LocatedJob(job_id, JobStatus(JobState.QUEUED))
    return replace((yield from _fetch_place(keys, job_id, *located)), stored=decode_change(payload))


def _locate_of_template(keys: Keyspace, job_id: str) -> Plan[LocatedJob]:
    """Return the status of a change without a payload: it may be of its batch's template."""
    batch_id = ids.batch_id_of(job_id)
    if batch_id is None:
        return LocatedJob(job_id, JobStatus(JobState.NOT_FOUND))
    template, stored_runs = yield from HMGET(keys.batch + batch_id, "template", "runs")
    if template is None:
        return LocatedJob(job_id, JobStatus(JobState.NOT_FOUND))
    runs = (stored_runs or b"").split()
    user_id = job_id.removeprefix(batch_id + ids.BATCH_MARK)
    lane = keyspace.lane(user_id, decode_change(template).a[0].trader_id)
    found = yield from _fetch_place(keys, job_id, lane, template_entries(job_id, len(runs)))
    if not found.entry:
        return found
    terms = read_each([runs[run_of_entry(found.entry) - 1]], lambda run: [int(part) for part in run.split(b",")])
    return replace(found, stored=change_of_template(template, user_id, *terms[0]) if terms else None)


def _fetch_place(keys: Keyspace, job_id: str, lane: str, entries: Sequence[str]) -> Plan[LocatedJob]:
    """Return the status of a change that is in a lane, or has just finished."""
    user, trader = parts(lane)
    (stored_head, *scores), places = yield from Transaction(
        Transaction[Any](
            HGET(keys.heads + user, trader), ZSCORE(keys.lanes + user, trader), ZSCORE(keys.bulk_lanes + user, trader)
        ),
        Transaction(*[LPOS(keys.rest + lane, entry) for entry in entries]),
    )
    head = None if stored_head is None else parse_head(stored_head)
    if head is not None and head.job_id == job_id:
        in_flight = LaneScore.IN_FLIGHT in scores
        status = JobStatus(JobState.IN_FLIGHT) if in_flight else JobStatus(JobState.QUEUED, position=0)
        return LocatedJob(job_id, status, lane, head.entry)
    for place, entry_there in zip(places, entries, strict=True):
        if place is not None:
            return LocatedJob(job_id, JobStatus(JobState.QUEUED, position=place + 1), lane, entry_there)
    stored = yield from GET(keys.result + job_id)  # it finished between the two reads
    state = JobState.NOT_FOUND if stored is None else JobState.DONE
    return LocatedJob(job_id, JobStatus(state, result=None if stored is None else read_result(stored, job_id)))


def locate(payload: bytes, job_id: str) -> tuple[str, list[str]] | None:
    """Return the lane of a stored change and the entry that it has there; None if the change is malformed."""
    try:
        stored = decode_change(payload)
    except MalformedChange:
        return None
    change, options = stored.a[0], stored.k
    is_bulk, is_coalescable = options.priority is Priority.BULK, options.coalesce is True
    lane = keyspace.lane(change.user_id, change.trader_id)
    return lane, [entry(job_id, is_bulk=is_bulk, is_coalescable=is_coalescable)]


def read_result(stored: bytes, job_id: str) -> JobResult:
    """Decode a stored result.

    Raises:
        JobNotFound: it is not the result of a change.
    """
    try:
        return decode_result(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        if is_foreign(stored):
            raise _foreign_error(job_id, stored) from exc
        raise JobNotFound(f"no change {job_id}: what is stored as its result is none: {exc}") from exc

"""The plan that deletes all that Redis keeps of one user, in chunks. See forget.lua for the user's settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from producers.contract import ids, keyspace
from producers.contract.codec import deserialize
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import read_each
from producers.contract.validation import check_id
from producers.queue import access_keys, dead_letters
from producers.queue.batches import APPENDED
from producers.queue.cursors import STREAM_START
from producers.queue.dead_letter_selection import Selection
from producers.queue.fan_out import member_job_id
from producers.queue.slicing import slices
from producers.queue.users import cancel_user
from producers.transport.commands import (
    DEL,
    HDEL,
    HEXISTS,
    HGET,
    HLEN,
    HMGET,
    HSET,
    MGET,
    PTTL,
    SCAN,
    SISMEMBER,
    SREM,
    XDEL,
    XRANGE,
    ZRANGE,
)
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script

CHUNK_SIZE = 500
"""Results, entries of a stream, or batches that one round trip reads: a millisecond of Redis."""

SETTINGS = ("rate", "pause", "pin", "rejected_keys", "credentials")
"""What forget.lua deletes, in the order of its reply."""


class ForgetRequest(Message):
    """What forget.lua is given: the user, escaped as in keys, and as it is."""

    user: str
    user_id: str


FORGET = Script.load("producers.queue", "forget.lua", request=ForgetRequest, runs_when_full=True)


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was deleted of a user.

    Attributes:
        user_id: the user.
        complete: whether nothing is left that can be deleted. False while a change of the user is in flight: then only
            queued changes were cancelled, and the call is to be repeated.
        cancelled: how many queued changes were cancelled.
        in_flight: how many changes are being sent, and will end with a result.
        results: how many results were deleted, those of control jobs included.
        dead_letters: how many dead letters were deleted.
        batch_entries: how many entries of batches named the user or its changes, and were deleted. Counters stay.
        settings: what was deleted of `rate`, `pause`, `pin`, `rejected_keys`, `credentials`.
        access_keys: IDs of the gateway's access keys that are bound to the user, which stay until they are revoked.
        bucket_expires_in_s: when the record of the user's last requests, which keeps its rate, deletes itself; 0 if
            there is none.
    """

    user_id: str
    complete: bool
    cancelled: int
    in_flight: int
    results: int = 0
    dead_letters: int = 0
    batch_entries: int = 0
    settings: list[str] = field(default_factory=list)
    access_keys: list[str] = field(default_factory=list)
    bucket_expires_in_s: float = 0.0

    def merged_with(self, at_home: ForgetReport) -> ForgetReport:
        """Return the report on a user whose shard this is about, with what was deleted in the queue's home."""
        return replace(
            self,
            complete=self.complete and at_home.complete,
            results=self.results + at_home.results,
            settings=[name for name in SETTINGS if name in {*self.settings, *at_home.settings}],
            access_keys=at_home.access_keys,
        )


def forget_user(keys: Keyspace, user_id: str, *, result_ttl_ms: int) -> Plan[ForgetReport]:
    """Cancel what is queued of a user, then delete all that is kept of it. Running it again deletes what is new.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    # A Redis user that may not do this is refused before anything is changed.
    yield from Transaction[Any](SCAN(0, "COUNT", 1), HEXISTS(keys.credentials, user_id))
    cancelled = yield from cancel_user(keys, user_id, result_ttl_ms=result_ttl_ms)
    report = ForgetReport(user_id, complete=False, cancelled=cancelled.cancelled, in_flight=cancelled.in_flight)
    if (yield from HLEN(keys.heads + user)):
        return report
    letters = yield from dead_letters.drop(keys, Selection(user_id=user_id))
    names = yield from _find_results(keys, user_id)
    jobs = [name.decode(errors="replace").removeprefix(keys.result) for name in names]
    batch_entries = yield from _leave_batches(keys, user_id, jobs)
    for some in slices(names, CHUNK_SIZE):  # last: if the caller dies before, the next call finds the batches by them
        yield from DEL(*some)
    is_idle, *deleted = yield from RunScript[list[int]](FORGET, [encode(ForgetRequest(user, user_id))])
    bound = yield from access_keys.list_keys(keys)
    ttl_ms = yield from PTTL(keys.bucket_of(user))
    return replace(
        report,
        complete=is_idle == 1,
        results=len(jobs),
        dead_letters=letters,
        batch_entries=batch_entries,
        settings=[name for name, was_there in zip(SETTINGS, deleted, strict=False) if was_there],
        access_keys=[key.key_id for key in bound if user_id in key.user_ids],
        bucket_expires_in_s=max(0, ttl_ms) / 1000,
    )


def _find_results(keys: Keyspace, user_id: str) -> Plan[list[bytes]]:
    """Return the keys of the user's results, for which all results are read: none is indexed by user."""
    found: set[bytes] = set()  # SCAN may return a key twice
    position = 0
    while True:
        position, names = yield from SCAN(position, "MATCH", keys.result + "*", "COUNT", CHUNK_SIZE)
        if names:
            stored = yield from MGET(*names)
            found.update(name for name, value in zip(names, stored, strict=True) if value and _concerns(value, user_id))
        if not position:
            return sorted(found)


def _concerns(stored: bytes, user_id: str) -> bool:
    """Return whether a result is that of a change of the user, or of a control job that enqueued one."""
    if user_id.encode() not in stored:
        return False
    try:
        result = deserialize(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False  # another arq app's
    arguments = result.get("a")
    about = [result.get("r"), *(arguments if isinstance(arguments, list) else [])]
    return any(isinstance(each, dict) and each.get("userId") == user_id for each in about)


def _leave_batches(keys: Keyspace, user_id: str, jobs: Iterable[str]) -> Plan[int]:
    """Delete what names the user or its changes in batches; return how many entries that were."""
    of_batch: defaultdict[str, set[str]] = defaultdict(set)
    for job_id in jobs:
        if (batch_id := ids.batch_id_of(job_id)) is not None:
            of_batch[batch_id].add(job_id)
    batches = read_each((yield from ZRANGE(keys.batches, 0, -1)), bytes.decode)
    for some in slices(batches, CHUNK_SIZE):
        own_ids = [member_job_id(batch_id, user_id) for batch_id in some]
        have_template, are_members = yield from Transaction(
            Transaction(*[HEXISTS(keys.batch + batch_id, "template") for batch_id in some]),
            Transaction(
                *[
                    SISMEMBER(keys.batch_members + batch_id, ids.member_of(job_id))
                    for batch_id, job_id in zip(some, own_ids, strict=True)
                ]
            ),
        )
        for batch_id, job_id, *is_own in zip(some, own_ids, have_template, are_members, strict=True):
            if all(is_own):
                of_batch[batch_id].add(job_id)
    deleted = 0
    for batch_id, job_ids in of_batch.items():
        deleted += yield from _delete_entries(keys, batch_id, job_ids)
        members = set(map(ids.member_of, job_ids))
        if (yield from HGET(keys.batch + batch_id, "content")) != APPENDED.encode():  # else they are the app's own IDs
            members &= {user_id, ids.member_of(member_job_id(batch_id, user_id))}  # others are numbers
        if members:
            deleted += yield from SREM(keys.batch_members + batch_id, *members)
        yield from _delete_lanes_of(keys, batch_id, user_id)
    return deleted


def _delete_entries(keys: Keyspace, batch_id: str, job_ids: Collection[str]) -> Plan[int]:
    """Delete the entries of some changes from a batch's stream of results."""
    deleted, position = 0, STREAM_START
    while True:
        entries = yield from XRANGE(keys.batch_results + batch_id, f"({position}", "+", "COUNT", CHUNK_SIZE)
        mine = [entry for entry, fields in entries if fields.get(b"job", b"").decode(errors="replace") in job_ids]
        if mine:
            deleted += yield from XDEL(keys.batch_results + batch_id, *mine)
        if len(entries) < CHUNK_SIZE:
            return deleted
        position = entries[-1][0].decode()


def _delete_lanes_of(keys: Keyspace, batch_id: str, user_id: str) -> Plan[None]:
    """Take the user out of what a batch estimates its end by. The trader stays: it is that of all its changes."""
    batch = keys.batch + batch_id
    deepest, put_back = yield from HMGET(batch, "deepest_lane", "put_back_lane")
    if deepest is not None and keyspace.user_and_trader(deepest.decode(errors="replace"))[0] == user_id:
        _, _, trader = deepest.partition(b":")
        yield from HSET(batch, "deepest_lane", b":" + trader)
    if put_back is not None and keyspace.user_and_trader(put_back.decode(errors="replace"))[0] == user_id:
        yield from HDEL(batch, "put_back_until", "put_back_job", "put_back_lane")

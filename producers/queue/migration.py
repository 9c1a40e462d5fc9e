"""Plans that move a queue of an earlier layout to this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from producers.contract.codec import BULK_BYTES, COALESCE_BYTES
from producers.contract.keyspace import BUCKET_SUFFIX, Keyspace
from producers.contract.layout import LAYOUT
from producers.contract.stored_values import read_each
from producers.contract.wording import plural
from producers.errors import MigrationRefused
from producers.queue.parts import LANES
from producers.queue.slicing import slices
from producers.transport.commands import EXISTS, HEXISTS, LLEN, TIME_US, ZCARD, ZCOUNT, ZRANGE
from producers.transport.layout_check import fetch_layout, is_later, refusal
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script

CHUNK_SIZE = 20
"""Lanes or batches that one run looks at."""

MAX_CHANGES = 200
"""Changes that one run moves: some milliseconds of Redis."""


class MigrateRequest(Message):
    """What migrate.lua is given.

    Attributes:
        lanes: lanes to move.
        batches: batches to move.
        max_changes: changes to move at most; of a lane that holds more, the rest stays for the next run.
        ends: 1 when everything has been moved.
        layout: the new layout.
    """

    lanes: list[str] = msgspec.field(default_factory=list)
    batches: list[str] = msgspec.field(default_factory=list)
    max_changes: int = MAX_CHANGES
    ends: int = 0
    layout: str = LAYOUT


MIGRATE = Script.load(
    "producers.queue",
    "migrate.lua",
    parts=LANES,
    constants={"BULK_BYTES": BULK_BYTES, "COALESCE_BYTES": COALESCE_BYTES, "BUCKET_SUFFIX": BUCKET_SUFFIX},
    request=MigrateRequest,
    runs_when_full=True,
)


class MigrationReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What there is to move, or what was moved.

    Attributes:
        layout: the queue's layout before; the current one if there is nothing to do.
        lanes: lanes that are not empty.
        changes: the changes in them.
        batches: batches that are kept.
        workers: workers of the earlier version that are alive; nothing is moved while there are any.
        malformed: entries that cannot be read, and stay where they are.
    """

    layout: str
    lanes: int
    changes: int
    batches: int
    workers: int
    malformed: int = 0

    @classmethod
    def merged(cls, parts: Sequence[MigrationReport]) -> MigrationReport:
        """Return the report on several shards."""
        return cls(
            layout=parts[0].layout,
            lanes=sum(part.lanes for part in parts),
            changes=sum(part.changes for part in parts),
            batches=sum(part.batches for part in parts),
            workers=sum(part.workers for part in parts),
            malformed=sum(part.malformed for part in parts),
        )


@dataclass(frozen=True, slots=True)
class _Old:
    """The names that are to be moved."""

    lanes: list[str]
    batches: list[str]
    malformed: int

    def report(self, layout: str, changes: int, workers: int) -> MigrationReport:
        """Return the report on them."""
        return MigrationReport(
            layout=layout,
            lanes=len(self.lanes),
            changes=changes,
            batches=len(self.batches),
            workers=workers,
            malformed=self.malformed,
        )


def check_movable(keys: Keyspace) -> Plan[None]:
    """Check that a program with these settings may move a queue; nothing is written.

    Args:
        keys: those of the queue's home.

    Raises:
        MigrationRefused: the queue has another number of shards, or a later layout.
    """
    layout = yield from fetch_layout(keys)
    is_new = layout == LAYOUT and not (yield from EXISTS(keys.layout))
    version, _, shards = layout.partition("/")
    _, _, own_shards = keys.mark.partition("/")
    if is_later(version) or (shards != own_shards and not is_new):
        raise MigrationRefused(refusal(layout, keys.mark))


def survey(keys: Keyspace) -> Plan[MigrationReport]:
    """Return what there is to move; nothing is written."""
    layout = yield from fetch_layout(keys)
    old = yield from _list_old(keys)
    changes = 0
    for some in slices(old.lanes, CHUNK_SIZE):
        changes += sum((yield from _count_changes(keys, some)))
    workers = 0 if layout == LAYOUT else (yield from _count_workers(keys))
    return old.report(layout, changes, workers)


def migrate(keys: Keyspace) -> Plan[MigrationReport]:
    """Move a queue of an earlier layout; what a run that was interrupted left is moved by the next.

    Raises:
        MigrationRefused: workers of the earlier version are alive, or the queue has a later layout. Nothing was moved.
    """
    layout = yield from fetch_layout(keys)
    if is_later(layout):
        raise MigrationRefused(refusal(layout))
    workers = 0 if layout == LAYOUT else (yield from _count_workers(keys))
    if workers:
        raise MigrationRefused(
            f"{plural(workers, 'worker')} of the earlier version may be alive (one that was killed counts for half a"
            " minute): stop all workers and all programs that enqueue, then run: copytrade migrate --yes"
        )
    old = yield from _list_old(keys)
    changes = 0
    for some in slices(old.lanes, CHUNK_SIZE):
        changes += yield from _move_lanes(keys, some)
    for some in slices(old.batches, CHUNK_SIZE):
        yield from _run(MigrateRequest(batches=list(some)))
    if layout != LAYOUT:
        yield from _run(MigrateRequest(ends=1))
    return old.report(layout, changes, 0)


def _move_lanes(keys: Keyspace, lanes: Sequence[str]) -> Plan[int]:
    """Move lanes whole, a number of changes at a time; return how many changes they held."""
    moved = 0
    left = list(lanes)
    while left:
        moved += yield from _run(MigrateRequest(lanes=left))
        counts = yield from _count_changes(keys, left)
        left = [lane for lane, count in zip(left, counts, strict=True) if count]
    return moved


def _count_changes(keys: Keyspace, lanes: Sequence[str]) -> Plan[list[int]]:
    counts = yield from Transaction(*[LLEN(keys.old_lane + lane) for lane in lanes])
    return list(counts)


def _run(request: MigrateRequest) -> RunScript[int]:
    return RunScript(MIGRATE, [encode(request)])


def _list_old(keys: Keyspace) -> Plan[_Old]:
    *schedules, names = yield from Transaction(
        ZRANGE(keys.old_schedule, 0, -1),
        ZRANGE(keys.old_bulk_schedule, 0, -1),
        ZRANGE(keys.old_lanes, 0, -1),
        ZRANGE(keys.batches, 0, -1),
    )
    lanes = read_each(sorted({lane for schedule in schedules for lane in schedule}), _lane)
    batches = read_each(names, bytes.decode)
    old_batches: list[str] = []
    for some in slices(batches, CHUNK_SIZE):
        are_old = yield from Transaction(*[HEXISTS(keys.batch + batch_id, "created") for batch_id in some])
        old_batches += [batch_id for batch_id, is_old in zip(some, are_old, strict=True) if is_old]
    return _Old(list(lanes), old_batches, lanes.malformed + batches.malformed)


def _lane(stored: bytes) -> str:
    lane = stored.decode("ascii")
    if ":" not in lane or not lane.isprintable() or " " in lane:
        raise ValueError(f"{lane!r} is not the name of a lane")
    return lane


def _count_workers(keys: Keyspace) -> Plan[int]:
    now_us, announced = yield from Transaction(TIME_US(), ZCARD(keys.workers))
    if not announced:
        return 0
    return (yield from ZCOUNT(keys.workers, now_us // 1000, "+inf"))

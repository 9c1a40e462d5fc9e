"""Plans that move a queue of an earlier layout to this one."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from producers.contract.codec import BULK_BYTES, COALESCE_BYTES
from producers.contract.keyspace import BUCKET_SUFFIX, Keyspace
from producers.contract.layout import LAYOUT
from producers.contract.stored_values import read_each
from producers.errors import InvalidArgument
from producers.queue.parts import LANES
from producers.queue.slicing import slices
from producers.transport.commands import EXISTS, GET, LLEN, TIME_US, ZCARD, ZCOUNT, ZRANGE
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script

CHUNK_SIZE = 20
"""Lanes, or batches, that one run moves: a lane holds up to `COPYTRADE_LANE_LIMIT` changes."""


class MigrateRequest(Message):
    """What migrate.lua is given.

    Attributes:
        lanes: lanes to move.
        batches: batches to move.
        ends: 1 when all lanes and batches have been moved.
        layout: the new layout.
    """

    lanes: list[str]
    batches: list[str]
    ends: int
    layout: str


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


@dataclass(frozen=True, slots=True)
class _Old:
    """The names that are to be moved."""

    lanes: list[str]
    batches: list[str]
    malformed: int


def survey(keys: Keyspace) -> Plan[MigrationReport]:
    """Return what there is to move; nothing is written."""
    layout = yield from _fetch_layout(keys)
    if layout == LAYOUT:
        return MigrationReport(layout=layout, lanes=0, changes=0, batches=0, workers=0)
    old = yield from _list_old(keys)
    changes = 0
    for some in slices(old.lanes, CHUNK_SIZE):
        changes += sum((yield from Transaction(*[LLEN(keys.old_lane + lane) for lane in some])))
    workers = yield from _count_workers(keys)
    return MigrationReport(
        layout=layout,
        lanes=len(old.lanes),
        changes=changes,
        batches=len(old.batches),
        workers=workers,
        malformed=old.malformed,
    )


def migrate(keys: Keyspace) -> Plan[MigrationReport]:
    """Move a queue of an earlier layout; what a run that was interrupted left is moved by the next.

    Raises:
        InvalidArgument: workers of the earlier version are alive, or the queue has a later layout. Nothing was moved.
    """
    layout = yield from _fetch_layout(keys)
    if layout > LAYOUT:
        raise InvalidArgument("layout", "is of a later version; update this program", layout)
    workers = 0 if layout == LAYOUT else (yield from _count_workers(keys))
    if workers:
        raise InvalidArgument("workers", "must be stopped first, and all producers; alive are", workers)
    old = yield from _list_old(keys)
    changes = 0
    for some in slices(old.lanes, CHUNK_SIZE):
        changes += yield from _run(list(some), [], ends=0)
    for some in slices(old.batches, CHUNK_SIZE):
        yield from _run([], list(some), ends=0)
    yield from _run([], [], ends=1)
    return MigrationReport(
        layout=layout,
        lanes=len(old.lanes),
        changes=changes,
        batches=len(old.batches),
        workers=0,
        malformed=old.malformed,
    )


def _run(lanes: list[str], batches: list[str], *, ends: int) -> RunScript[int]:
    return RunScript(MIGRATE, [encode(MigrateRequest(lanes, batches, ends, LAYOUT))])


def _fetch_layout(keys: Keyspace) -> Plan[str]:
    layout, old = yield from Transaction(
        GET(keys.layout), EXISTS(keys.old_schedule, keys.old_bulk_schedule, keys.old_rejected_keys, keys.batches)
    )
    if layout is not None:
        return layout.decode(errors="replace")
    return "1" if old else LAYOUT


def _list_old(keys: Keyspace) -> Plan[_Old]:
    *schedules, batches = yield from Transaction(
        ZRANGE(keys.old_schedule, 0, -1),
        ZRANGE(keys.old_bulk_schedule, 0, -1),
        ZRANGE(keys.old_lanes, 0, -1),
        ZRANGE(keys.batches, 0, -1),
    )
    lanes = read_each(sorted({lane for schedule in schedules for lane in schedule}), _lane)
    batch_ids = read_each(batches, bytes.decode)
    return _Old(list(lanes), list(batch_ids), lanes.malformed + batch_ids.malformed)


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

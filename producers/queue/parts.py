"""The Lua parts that scripts are made of, each the only one that knows its state, with the constants that they read.

A script names the parts that it uses; a part comes after those that it uses itself.
"""

from __future__ import annotations

from producers.contract import ids, keyspace
from producers.contract.codec import MAX_PAYLOAD_BYTES
from producers.contract.layout import LAYOUT
from producers.contract.messages import THROTTLED
from producers.queue.breaker import FAILING, BreakerEvent
from producers.queue.bucket import BUCKET_TTL_MS, FULL_PACE, LOOK_AHEAD_US, StoredBucket
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.lanes import LaneScore
from producers.queue.wakeups import EGRESS_WAKEUP_TTL_MS
from producers.settings import variable_name
from producers.transport.script_messages import Message
from producers.transport.scripts import Constant, Part

BEATS_PER_TTL = 4
"""Renewals of a session in its TTL. The served clock counts at most two of them for a gap between renewals."""


def _part(name: str, record: type[Message] | None = None, **constants: Constant) -> Part:
    return Part("producers.queue", f"{name}.lua", constants, record)


CLOCK = _part("clock")
BUCKET = _part(
    "bucket",
    StoredBucket,
    BUCKET_SUFFIX=keyspace.BUCKET_SUFFIX,
    BUCKET_TTL_MS=BUCKET_TTL_MS,
    LOOK_AHEAD=LOOK_AHEAD_US,
    FULL_PACE=FULL_PACE,
)
LANE = _part("lane", LANE_SCORE=LaneScore)
SCHEDULE = _part("schedule", LOOK_AHEAD=LOOK_AHEAD_US, EGRESS_WAKEUP_TTL_MS=EGRESS_WAKEUP_TTL_MS)
EGRESS = _part("egress", BUCKET_TTL_MS=BUCKET_TTL_MS, LOOK_AHEAD=LOOK_AHEAD_US)
BREAKER = _part("breaker", BREAKER_EVENT=BreakerEvent, FAILING=FAILING, THROTTLED=THROTTLED)
SESSION = _part("session", BEATS_PER_TTL=BEATS_PER_TTL)
BATCHES = _part("batches", BATCH_MARK=ids.BATCH_MARK, OLD_BATCH_MARK=ids.OLD_BATCH_MARK)
FINISH = _part("finish", DEAD_OUTCOMES=frozenset(DEAD_OUTCOMES), MAX_PAYLOAD_BYTES=MAX_PAYLOAD_BYTES)
PARKING = _part("parking")
LAYOUT_CHECK = _part("layout", LAYOUT=LAYOUT)
MEMORY = _part("memory", FULL_SETTING=variable_name("redis_full_percent"))

LANES = (CLOCK, BUCKET, LANE, SCHEDULE)
"""What every script needs that moves lanes."""

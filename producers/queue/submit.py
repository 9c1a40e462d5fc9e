"""The step that appends changes to their lanes, with its options and its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from producers.contract import keyspace
from producers.contract.codec import FUNCTION_BYTES, MAX_PAYLOAD_BYTES, encode_change
from producers.contract.keyspace import BUCKET_SUFFIX
from producers.contract.messages import Priority, SettingsChange
from producers.queue.bucket import BUCKET_TTL_MS, LATE, RESERVED
from producers.settings import REDIS_FULL_PERCENT, variable_name
from producers.transport.plan import RunScript
from producers.transport.scripts import Argument, Part, Script


class SubmitVerdict(IntEnum):
    """What submit.lua replies for a change that it did not append. For others it replies their place in the lane."""

    ALREADY_THERE = 0
    LANE_FULL = -1
    OTHER_CONTENT = -2
    SEALED = -3
    CANCELLED = -4
    DEAD_LETTER_GONE = -5
    FOREIGN_ID = -6


EMPTY_BATCH_TTL_MS = 86_400_000
"""TTL of a batch without changes: its producer may have died, and may run it again."""

MEMORY = Part(
    "producers.queue",
    "memory.lua",
    {"FULL_SETTING": variable_name("redis_full_percent")},
)
"""The Lua part that measures Redis's memory."""

SUBMIT = Script.load(
    "producers.queue",
    "submit.lua",
    parts=[MEMORY],
    constants={
        "BUCKET_SUFFIX": BUCKET_SUFFIX,
        "BATCH_MARK": keyspace.BATCH_MARK,
        "FUNCTION_BYTES": FUNCTION_BYTES,
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "BUCKET_TTL_MS": BUCKET_TTL_MS,
        "LATE": LATE,
        "RESERVED": RESERVED,
        "EMPTY_BATCH_TTL_MS": EMPTY_BATCH_TTL_MS,
        "VERDICT": SubmitVerdict,
    },
)


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Options of all changes of a submission.

    Attributes:
        lane_limit: how many changes a lane may hold.
        priority: the priority of the changes.
        coalesce: whether they may be sent in one request with the changes before them.
        batch_id: their batch; "" for none.
        content: digest of the batch's content.
        full_percent: share of Redis's `maxmemory` from which on changes are refused.
    """

    lane_limit: int
    priority: Priority = Priority.INTERACTIVE
    coalesce: bool = False
    batch_id: str = ""
    content: str = ""
    full_percent: float = REDIS_FULL_PERCENT


@dataclass(frozen=True, slots=True)
class Submission:
    """The arguments of submit.lua for one change.

    Attributes:
        job_id: the change's ID.
        lane: its lane's name.
        payload: the change as it is stored.
        dead_letter_id: job ID of the dead letter that it replays, which is deleted with it; "" for none.
    """

    job_id: str
    lane: str
    payload: bytes
    dead_letter_id: str = ""

    @classmethod
    def from_change(
        cls,
        change: SettingsChange,
        job_id: str,
        options: SubmitOptions,
        *,
        now_ms: int,
        ttl_ms: int,
        dead_letter_id: str = "",
    ) -> Submission:
        """Encode a valid change; `now_ms` is Redis's clock, Unix milliseconds."""
        payload = encode_change(
            change, enqueued_at_ms=now_ms, ttl_ms=ttl_ms, coalesce=options.coalesce, priority=options.priority
        )
        return cls(job_id, keyspace.lane(change.user_id, change.trader_id), payload, dead_letter_id)


class ChunkDigest(NamedTuple):
    """Identifies a chunk that must have the same content in every run of its batch.

    Attributes:
        name: the chunk's field in the batch's hash; "" for none.
        digest: of all content up to the chunk's end, so that runs which differ once differ in every later chunk.
    """

    name: str = ""
    digest: str = ""


NO_DIGEST = ChunkDigest()


def submit(
    submissions: Sequence[Submission],
    options: SubmitOptions,
    *,
    chunk: ChunkDigest = NO_DIGEST,
    previous: ChunkDigest = NO_DIGEST,
) -> RunScript[list[int]]:
    """Return the step that submits a chunk. Its reply is the time (Unix ms, Redis's clock), then a verdict per change.

    Args:
        submissions: the changes; all of them replay dead letters, or none does.
        options: the options of all of them.
        chunk: identifies the chunk, if its content must be the same in every run.
        previous: identifies the chunk before it.
    """
    is_replay = any(submission.dead_letter_id for submission in submissions)
    args: list[Argument] = [
        options.lane_limit,
        options.priority.value,
        int(options.coalesce),
        options.batch_id,
        options.content,
        *chunk,
        *previous,
        int(is_replay),
        f"{options.full_percent:g}",
    ]
    for submission in submissions:
        args += (submission.lane, submission.job_id, submission.payload)
        if is_replay:
            args.append(submission.dead_letter_id)
    # Job IDs make it idempotent; but a second run of a replay would find the dead letters gone.
    return RunScript(SUBMIT, args, idempotent=not is_replay)

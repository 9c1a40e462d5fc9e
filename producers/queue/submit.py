"""The submit script's wrapper: changes in, verdicts out. Builds its arguments and reads its reply; no I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from producers.contract import keyspace
from producers.contract.codec import encode_change
from producers.contract.messages import Priority, SettingsChange
from producers.queue.bucket import BUCKET_KEYS, BUCKET_TTL_MS, RESERVED
from producers.transport.plan import RunScript
from producers.transport.scripts import Argument, Script


class SubmitVerdict(IntEnum):
    """What submit.lua replies for a change. A positive number is the change's place in its lane."""

    ALREADY_THERE = 0
    LANE_FULL = -1
    OTHER_CONTENT = -2
    SEALED = -3
    CANCELLED = -4
    DEAD_LETTER_GONE = -5


EMPTY_BATCH_TTL_MS = 86_400_000
"""A batch that was begun and got no change: its producer died, or runs it again soon."""

SUBMIT = Script.load(
    "producers.queue",
    "submit.lua",
    constants={
        "LANE_PREFIX": keyspace.LANE,
        "HEAD_PREFIX": keyspace.HEAD,
        **BUCKET_KEYS,
        "JOB_PREFIX": keyspace.JOB,
        "RESULT_PREFIX": keyspace.RESULT,
        "DEAD_LETTER_PREFIX": keyspace.DEAD_LETTER,
        "BATCH_PREFIX": keyspace.BATCH,
        "BUCKET_TTL_MS": BUCKET_TTL_MS,
        "RESERVED": RESERVED,
        "EMPTY_BATCH_TTL_MS": EMPTY_BATCH_TTL_MS,
        "VERDICT": SubmitVerdict,
    },
)


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What holds for all changes of a submission.

    Attributes:
        lane_limit: how many changes a lane may hold.
        priority: which lanes they make go first.
        coalesce: whether they may join the changes before them.
        batch_id: the batch they are of; "" for none.
        content: digest of the batch's content.
    """

    lane_limit: int
    priority: Priority = Priority.INTERACTIVE
    coalesce: bool = False
    batch_id: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One change on its way into its lane.

    Attributes:
        job_id: its ID.
        lane: the lane's name.
        payload: the change as it is stored.
        letter: the dead letter that it is sent again from, which goes in the same step; "" for none.
    """

    job_id: str
    lane: str
    payload: bytes
    letter: str = ""

    @classmethod
    def from_change(
        cls, change: SettingsChange, job_id: str, options: SubmitOptions, *, now_ms: int, ttl_ms: int, letter: str = ""
    ) -> Submission:
        """The submission of a checked change."""
        payload = encode_change(
            change, enqueued_at_ms=now_ms, ttl_ms=ttl_ms, coalesce=options.coalesce, priority=options.priority
        )
        return cls(job_id, keyspace.lane(change.user_id, change.trader_id), payload, letter)


@dataclass(frozen=True, slots=True)
class ChunkDigest:
    """A chunk whose content must be the same in every run of its batch.

    Attributes:
        name: of the chunk; "" for none.
        digest: of all content up to its end, so that runs that differ part for good.
    """

    name: str = ""
    digest: str = ""


NO_DIGEST = ChunkDigest()


def submit(
    submissions: Sequence[Submission],
    options: SubmitOptions,
    *,
    chunk: ChunkDigest = NO_DIGEST,
    after: ChunkDigest = NO_DIGEST,
) -> RunScript[list[int]]:
    """The call that submits a chunk; its reply is the time (Unix ms, Redis's clock) and a verdict for each change.

    Args:
        submissions: the changes; all of them from letters, or none.
        options: what holds for all of them.
        chunk: what these changes are of their batch, where that must be the same in every run.
        after: the chunk before it.
    """
    letters = any(submission.letter for submission in submissions)
    args: list[Argument] = [
        options.lane_limit,
        options.priority.value,
        int(options.coalesce),
        options.batch_id,
        options.content,
        chunk.name,
        chunk.digest,
        after.name,
        after.digest,
        int(letters),
    ]
    for submission in submissions:
        args += (submission.lane, submission.job_id, submission.payload)
        if letters:
            args.append(submission.letter)
    batch = [prefix + options.batch_id for prefix in (keyspace.BATCH, keyspace.BATCH_MEMBERS)]
    results = keyspace.BATCH_RESULTS + options.batch_id
    script_keys = [
        keyspace.SCHEDULE,
        keyspace.BULK_SCHEDULE,
        keyspace.LANES,
        keyspace.WAKEUPS,
        *batch,
        keyspace.BATCHES,
        results,
    ]
    # By its job ID. With a letter, the second answer would be that the letter is gone.
    return RunScript(SUBMIT, script_keys, args, idempotent=not any(one.letter for one in submissions))

"""The submit script and its messages."""

from __future__ import annotations

from enum import IntEnum

from producers.contract import ids
from producers.contract.codec import DIGEST_BYTES, FUNCTION_BYTES, MAX_PAYLOAD_BYTES
from producers.queue.parts import LANES, LAYOUT_CHECK, MEMORY
from producers.transport.script_messages import Message
from producers.transport.scripts import Script


class SubmitVerdict(IntEnum):
    """What submit.lua replies for a change that it did not append. For others it replies their place in the lane."""

    ALREADY_THERE = 0
    LANE_FULL = -1
    OTHER_CONTENT = -2
    SEALED = -3
    CANCELLED = -4
    DEAD_LETTER_GONE = -5
    FOREIGN_ID = -6
    OTHER_CHANGE = -7


EMPTY_BATCH_TTL_MS = 86_400_000
"""TTL of a batch without changes: its producer may have died, and may run it again."""


class ChangeRow(Message):
    """A change to submit.

    Attributes:
        user: its user, escaped.
        trader: its trader, escaped.
        job_id: its ID.
        payload: number of its payload among the further arguments; 0 for a change of the template.
        digest: of its content; "" for a change of the template.
        dead_letter: job ID of the dead letter that it replays, which is deleted with it; "" for none.
    """

    user: str
    trader: str
    job_id: str
    payload: int
    digest: str
    dead_letter: str


class SubmitRequest(Message):
    """What submit.lua is given.

    Attributes:
        lane_limit: how many changes a lane may hold.
        is_bulk: 1 for bulk changes.
        is_coalescable: 1 if they may be sent in one request with the changes before them.
        batch_id: their batch; "" for none.
        content: digest of the batch's content.
        chunk: name of this chunk; "" if chunks may differ between runs.
        chunk_digest: digest of all content up to its end.
        previous_chunk: name of the chunk before it; "" for none.
        previous_digest: digest of all content up to the end of that one.
        full_percent: share of `maxmemory` from which on changes are refused.
        template: number of the batch's template among the further arguments; 0 for none.
        run: when the template's changes are enqueued, `<Unix ms>,<TTL (ms)>`.
        changes: the changes.
        traceparent: the trace context of their batch; "" for none.
    """

    lane_limit: int
    is_bulk: int
    is_coalescable: int
    batch_id: str
    content: str
    chunk: str
    chunk_digest: str
    previous_chunk: str
    previous_digest: str
    full_percent: str
    template: int
    run: str
    changes: list[ChangeRow]
    traceparent: str = ""


SUBMIT = Script.load(
    "producers.queue",
    "submit.lua",
    parts=[*LANES, MEMORY, LAYOUT_CHECK],
    constants={
        "BATCH_MARK": ids.BATCH_MARK,
        "FUNCTION_BYTES": FUNCTION_BYTES,
        "DIGEST_BYTES": DIGEST_BYTES,
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "EMPTY_BATCH_TTL_MS": EMPTY_BATCH_TTL_MS,
        "VERDICT": SubmitVerdict,
    },
    request=SubmitRequest,
)

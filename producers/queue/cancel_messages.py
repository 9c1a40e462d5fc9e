"""The cancel script and its messages."""

from __future__ import annotations

from enum import IntEnum

from producers.queue.lanes import MAX_COALESCED
from producers.queue.parts import BATCHES, FINISH, LANES
from producers.transport.script_messages import Message
from producers.transport.scripts import Script


class CancelVerdict(IntEnum):
    """What cancel.lua replies for a change.

    HISTORY_CHANGED: the head was attempted after it was read. NOT_REACHED: the run had searched enough before it.
    """

    CANCELLED = 1
    ENDED = 0
    IN_FLIGHT = -1
    HISTORY_CHANGED = -2
    NOT_REACHED = -3


class CancelRow(Message):
    """A change to cancel.

    Attributes:
        lane: its lane.
        job_id: its ID.
        entries: the entries that it may have in the lane.
        history: number of the history of the lane's head, if it is that, as the caller read it; 0 for none.
        result: number of its result.
    """

    lane: str
    job_id: str
    entries: list[str]
    history: int
    result: int


class CancelRequest(Message):
    """What cancel.lua is given: the changes, and the TTL of results."""

    result_ttl_ms: int
    changes: list[CancelRow]


CANCEL = Script.load(
    "producers.queue",
    "cancel.lua",
    parts=[*LANES, BATCHES, FINISH],
    constants={"VERDICT": CancelVerdict, "MAX_COALESCED": MAX_COALESCED},
    request=CancelRequest,
    runs_when_full=True,
)

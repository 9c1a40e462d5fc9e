"""The part that scripts which end changes share, and the arguments it needs. No I/O."""

from __future__ import annotations

from producers.contract import keyspace
from producers.transport.scripts import Argument, Part

FINISH = Part("producers.queue", "finish.lua")


def finish_arguments(*, result_ttl_ms: int, dead_letter_ttl_ms: int = 1) -> list[Argument]:
    """The arguments of finish.lua.

    Args:
        result_ttl_ms: how long results, and batches that are complete, are kept.
        dead_letter_ttl_ms: how long dead letters are kept; only for scripts that make some.
    """
    return [
        keyspace.JOB,
        keyspace.RESULT,
        keyspace.DONE,
        keyspace.COUNTS,
        keyspace.BATCH,
        keyspace.MEMBERS,
        keyspace.RESULTS,
        keyspace.COMPLETE,
        keyspace.LETTER,
        keyspace.DEAD,
        result_ttl_ms,
        dead_letter_ttl_ms,
    ]

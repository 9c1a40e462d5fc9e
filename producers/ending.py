"""The part that scripts which end changes share, and the arguments it needs. No I/O."""

from __future__ import annotations

from producers import keys
from producers.scripts import Argument

ENDING = ("producers", "ending.lua")


def ending_arguments(*, life_ms: int, letter_life_ms: int = 1) -> list[Argument]:
    """The arguments of ending.lua.

    Args:
        life_ms: how long results, and batches that are complete, are kept.
        letter_life_ms: how long dead letters are kept; only for scripts that make some.
    """
    return [
        keys.JOB,
        keys.RESULT,
        keys.DONE,
        keys.COUNTS,
        keys.BATCH,
        keys.MEMBERS,
        keys.RESULTS,
        keys.COMPLETE,
        keys.LETTER,
        keys.DEAD,
        life_ms,
        letter_life_ms,
    ]

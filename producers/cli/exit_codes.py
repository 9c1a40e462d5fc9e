"""Exit statuses: what each means, and which error gets which."""

from __future__ import annotations

from enum import IntEnum

from producers.errors import LaneFull, ProducerError, QueueUnavailable


class Exit(IntEnum):
    """How a command ended, for the shell."""

    DONE = 0
    NOT_ALL = 1
    BAD_INPUT = 2
    UNAVAILABLE = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done; what was waited for was applied",
    Exit.NOT_ALL: "something ended other than applied, was not accepted, or a check failed",
    Exit.BAD_INPUT: "wrong usage, settings or input; nothing was changed",
    Exit.UNAVAILABLE: "Redis did not answer; the message says what is safe to repeat",
    Exit.NOT_FOUND: "no such change, batch or dead letter",
    Exit.TIMED_OUT: "it has not ended within the time given; it goes on",
    Exit.INTERRUPTED: "interrupted; what was enqueued goes on, and the message says how to follow it",
}


def status_of(error: ProducerError) -> Exit:
    """The exit status of an error of the producers' side."""
    if isinstance(error, QueueUnavailable):
        return Exit.UNAVAILABLE
    if isinstance(error, LaneFull):
        return Exit.NOT_ALL
    if isinstance(error, TimeoutError):
        return Exit.TIMED_OUT
    if isinstance(error, LookupError):
        return Exit.NOT_FOUND
    return Exit.BAD_INPUT


def epilogue() -> str:
    """The statuses as they stand below the help."""
    lines = "\n".join(f"  {status.value:>3}  {meaning}" for status, meaning in MEANINGS.items())
    return f"\b\nExit status:\n{lines}"

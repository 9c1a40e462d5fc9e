"""The exit codes, their meanings, and the exit code of each error of the `producers` package."""

from __future__ import annotations

from enum import IntEnum

from producers.errors import LaneFull, ProducerError, QueueUnavailable


class ExitCode(IntEnum):
    """The exit code of a command."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    UNAVAILABLE = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done; every change that was waited for was applied",
    ExitCode.FAILED: "a change was not applied or not accepted, a check failed, or the output could not be written",
    ExitCode.BAD_INPUT: "wrong usage, settings or input; nothing was changed",
    ExitCode.UNAVAILABLE: "Redis did not answer, or is full; what enqueues says what is safe to repeat",
    ExitCode.NOT_FOUND: "no such change, batch or dead letter",
    ExitCode.TIMED_OUT: "not finished within the given time; the work continues",
    ExitCode.INTERRUPTED: "interrupted, or not confirmed; enqueued changes go on, the message says how to follow them",
    ExitCode.BROKEN_PIPE: "the output was closed before its end, as by head",
    ExitCode.TERMINATED: "ended by SIGTERM; otherwise as 130",
}


def exit_code_for(error: ProducerError) -> ExitCode:
    """Return the exit code of an error of the `producers` package."""
    if isinstance(error, QueueUnavailable):
        return ExitCode.UNAVAILABLE
    if isinstance(error, LaneFull):
        return ExitCode.FAILED
    if isinstance(error, TimeoutError):
        return ExitCode.TIMED_OUT
    if isinstance(error, LookupError):
        return ExitCode.NOT_FOUND
    return ExitCode.BAD_INPUT


def help_epilog() -> str:
    """Return the list of exit codes for the end of the help text."""
    lines = "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
    return f"\b\nExit status:\n{lines}"

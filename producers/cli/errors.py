"""Every failure is one line that says what to do, and an exit status. One place turns errors into both."""

from __future__ import annotations

import click
from redis.exceptions import RedisError

from producers.cli.context import Run
from producers.cli.exit_codes import Exit, status_of
from producers.cli.input.row_errors import BadInput
from producers.cli.text import safe
from producers.errors import ProducerError
from producers.settings import masked

PROG = "copytrade"


class Ended(Exception):
    """The end of a command that says by itself why, with its own exit status."""

    def __init__(self, status: Exit, message: str) -> None:
        super().__init__(message)
        self.status = status


EXPECTED = (ProducerError, BadInput, Ended, click.ClickException, click.Abort, RedisError, OSError)
"""Whatever else is raised is a defect of this program, and its traceback is what its report needs."""


def report(run: Run, error: BaseException) -> Exit:
    """Says on standard error what went wrong; returns the exit status."""
    status, message = _status(error), masked(_message(error))
    if run.as_json:
        run.screen.json_note({"error": type(error).__name__, "message": message, "status": int(status)})
    else:
        run.screen.note(f"{PROG}: {message}")
    return status


def _status(error: BaseException) -> Exit:
    if isinstance(error, ProducerError):
        return status_of(error)
    if isinstance(error, Ended):
        return error.status
    if isinstance(error, click.Abort):
        return Exit.INTERRUPTED
    if isinstance(error, RedisError):
        return Exit.UNAVAILABLE
    if isinstance(error, BadInput | click.UsageError | click.FileError):
        return Exit.BAD_INPUT
    return Exit.NOT_ALL


def _message(error: BaseException) -> str:
    if isinstance(error, click.Abort):
        return "interrupted"
    if isinstance(error, RedisError):
        return f"Redis did not answer: {error}; check --redis or COPYTRADE_REDIS_DSN, then repeat"
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else PROG
        return f"{_one_line(error.format_message()).removesuffix('.')}; see {path} --help"
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message())
    return str(error)


def _one_line(text: str) -> str:
    return safe(" ".join(text.split()))

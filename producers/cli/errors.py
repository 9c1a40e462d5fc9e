"""Reporting of errors: each becomes one line on standard error and an exit code, here and in no other module."""

from __future__ import annotations

import click
from redis.exceptions import RedisError

from producers.cli.context import CliContext
from producers.cli.exit_codes import ExitCode, exit_code_for
from producers.cli.input.row_errors import BadInput
from producers.cli.text import escape
from producers.errors import ProducerError
from producers.settings import redact_dsn
from producers.transport.explain import describe

PROG = "copytrade"


class CommandFailed(Exception):
    """A command that failed or was interrupted, with its exit code and a message for the user."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


EXPECTED_ERRORS = (ProducerError, BadInput, CommandFailed, click.ClickException, click.Abort, RedisError, OSError)
"""Errors that are reported in one line. Any other exception is a bug, and Python prints its traceback."""


def report_error(cli: CliContext, error: BaseException) -> ExitCode:
    """Print an error to standard error and return the exit code."""
    exit_code, message = _exit_code_and_message(error)
    message = redact_dsn(message)
    if cli.as_json:
        name = "Ended" if isinstance(error, CommandFailed) else type(error).__name__  # scripts rely on "Ended"
        cli.screen.json_note({"error": name, "message": message, "status": int(exit_code)})
    else:
        cli.screen.note(f"{PROG}: {message}")
    return exit_code


def _exit_code_and_message(error: BaseException) -> tuple[ExitCode, str]:
    exit_code, message = ExitCode.FAILED, str(error)
    match error:
        case ProducerError():
            exit_code = exit_code_for(error)
        case CommandFailed():
            exit_code = error.exit_code
        case BadInput():
            exit_code = ExitCode.BAD_INPUT
        case click.Abort():
            exit_code, message = ExitCode.INTERRUPTED, "interrupted"
        case RedisError():
            message = describe(error)
            exit_code = ExitCode.UNAVAILABLE
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else PROG
            message = f"{_one_line(error.format_message()).removesuffix('.')}; see {path} --help"
            exit_code = ExitCode.BAD_INPUT
        case click.ClickException():
            message = _one_line(error.format_message())
            exit_code = ExitCode.BAD_INPUT if isinstance(error, click.FileError) else ExitCode.FAILED
    return exit_code, message


def _one_line(text: str) -> str:
    return escape(" ".join(text.split()))

"""Reporting of errors: each becomes one line on standard error and an exit code, here and in no other module."""

from __future__ import annotations

import errno
import re

import click
from redis.exceptions import RedisError

from producers.cli import signals
from producers.cli.context import CliContext
from producers.cli.exit_codes import ExitCode, exit_code_for
from producers.cli.input.row_errors import BadInput
from producers.cli.text import escape
from producers.errors import InvalidArgument, ProducerError, abbreviated
from producers.settings import redact_dsn, variable_name
from producers.transport.explain import describe, is_wrong_server

PROG = "copytrade"


class CommandFailed(Exception):
    """A command that failed or was interrupted, with its exit code and a message for the user."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


EXPECTED_ERRORS = (ProducerError, BadInput, CommandFailed, click.ClickException, click.Abort, RedisError, OSError)
"""Errors that are reported in one line. Any other exception is a bug, and Python prints its traceback."""

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""Errors of the system for a standard output that cannot be written, such as one on a full disk."""


def interruption_code() -> ExitCode:
    """Return the exit code of a command that Ctrl-C or SIGTERM has ended."""
    return ExitCode.TERMINATED if signals.was_terminated() else ExitCode.INTERRUPTED


def report_error(cli: CliContext, error: BaseException) -> ExitCode:
    """Print an error to standard error and return the exit code."""
    exit_code, message = _exit_code_and_message(error, cli.command)
    if exit_code is ExitCode.INTERRUPTED:
        exit_code = interruption_code()
    if exit_code is ExitCode.BROKEN_PIPE:
        return exit_code  # nobody reads any more
    message = _as_option(redact_dsn(message))
    if cli.redis_dsn is not None:  # the library does not know where the DSN comes from
        message = message.replace(variable_name("redis_dsn"), "--redis")
    if cli.as_json:
        name = "Ended" if isinstance(error, CommandFailed) else type(error).__name__  # scripts rely on "Ended"
        cli.screen.json_note({"error": name, "message": message, "status": int(exit_code)})
    else:
        cli.screen.note(f"{PROG}: {message}")
    return exit_code


def _exit_code_and_message(error: BaseException, command: click.Command | None) -> tuple[ExitCode, str]:
    exit_code, message = ExitCode.FAILED, str(error)
    match error:
        case InvalidArgument():
            name = _spelling(error.argument, command)
            exit_code, message = ExitCode.BAD_INPUT, f"{name}: {error.rule}; got {abbreviated(error.value)}"
        case ProducerError():
            exit_code = exit_code_for(error)
        case CommandFailed():
            exit_code = error.exit_code
        case BadInput():
            exit_code = ExitCode.BAD_INPUT
        case RedisError():
            message = describe(error)
            exit_code = ExitCode.BAD_INPUT if is_wrong_server(error) else ExitCode.UNAVAILABLE
        case click.ClickException() | click.Abort():
            exit_code, message = _of_click(error)
        case BrokenPipeError():
            exit_code = ExitCode.BROKEN_PIPE
        case OSError() if error.errno in _UNWRITABLE:
            message = f"the output cannot be written: {error.strerror}"
    return exit_code, message


def _of_click(error: click.ClickException | click.Abort) -> tuple[ExitCode, str]:
    match error:
        case click.Abort():
            return ExitCode.INTERRUPTED, "interrupted"
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else PROG
            return ExitCode.BAD_INPUT, f"{_one_line(error.format_message()).removesuffix('.')}; see {path} --help"
        case click.FileError():
            return ExitCode.BAD_INPUT, _one_line(error.format_message())
    return ExitCode.FAILED, _one_line(error.format_message())


def _spelling(argument: str, command: click.Command | None) -> str:
    """Return how a command spells an argument of the Python API: `job_id` may be --job-id or JOB_ID."""
    for param in command.params if command is not None else ():
        if param.name == argument:
            return (
                max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name.strip("[]")
            )
    return argument


def _as_option(message: str) -> str:
    """Return a message of the Python API with its job ID as the command line takes it."""
    return re.sub(r"\bjob_id='([!-~]+)'", r"--job-id \1", message)


def _one_line(text: str) -> str:
    """Return a message of click in one line, and optional arguments without their brackets."""
    return escape(re.sub(r"'\[([A-Z_]+)\]'", r"'\1'", " ".join(text.split())))

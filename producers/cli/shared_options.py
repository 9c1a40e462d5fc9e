"""Options that several commands share, and the handling of Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.input.row_errors import BadInput
from producers.cli.number_types import Number
from producers.contract.messages import Outcome, Priority
from producers.settings import MAX_TTL_S

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]

MAX_TIMEOUT_S = 1_000_000_000


def timeout_option(what: str) -> Option[Any]:
    """Return the option --timeout: how long to wait for `what`."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=Number(0, MAX_TIMEOUT_S),
        metavar="SECONDS",
        help=f"How long to wait for {what}; by default without limit.",
    )


def ttl_option() -> Option[Any]:
    """Return the option --ttl: the deadline of changes."""
    return click.option(
        "--ttl",
        "ttl_s",
        type=Number(0, MAX_TTL_S, min_open=True),
        metavar="SECONDS",
        help="The deadline of a change, counted from its acceptance; by default COPYTRADE_CHANGE_TTL_S.",
    )


def priority_option(default: Priority) -> Option[Any]:
    """Return the option --priority."""
    return click.option(
        "--priority",
        type=click.Choice([priority.value for priority in Priority]),
        default=default.value,
        show_default=True,
        help="Which changes are sent first: interactive ones. A share is reserved for bulk.",
    )


def outcome_option(outcomes: Iterable[Outcome] = Outcome) -> Option[Any]:
    """Return the option --outcome, with the outcomes that can be chosen."""
    return click.option(
        "--outcome",
        type=click.Choice([outcome.value for outcome in outcomes]),
        callback=lambda _, __, value: None if value is None else Outcome(value),
        help="Only changes with this outcome.",
    )


def yes_option() -> Option[Any]:
    """Return the option --yes of a command that calls `confirm`."""
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def is_interactive() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal whether to go on, unless `yes`.

    Raises:
        BadInput: standard input is not a terminal.
        CommandFailed: the answer is no.
    """
    if yes:
        return
    if not is_interactive():
        raise BadInput("standard input is not a terminal, so there can be no confirmation; add --yes")
    if not click.confirm(question, err=True):
        raise CommandFailed(ExitCode.INTERRUPTED, "not confirmed; nothing was changed")


@contextmanager
def interruptible(hint: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C in the body into a `CommandFailed` whose message ends with `hint()`."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandFailed(ExitCode.INTERRUPTED, f"interrupted; {hint()}") from None

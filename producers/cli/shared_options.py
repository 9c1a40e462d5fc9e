"""Times and other options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from producers.cli.errors import Ended
from producers.cli.exit_codes import Exit
from producers.contract.messages import Outcome, Priority

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]

LONGEST_S = 1_000_000_000


def timeout_option(what: str) -> Option[Any]:
    """`--timeout`: how long to wait."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0, LONGEST_S),
        metavar="SECONDS",
        help=f"How long to wait for {what}; by default as long as it takes.",
    )


def ttl_option() -> Option[Any]:
    """`--ttl`: the deadline of changes."""
    return click.option(
        "--ttl",
        "ttl_s",
        type=float,
        metavar="SECONDS",
        help="Deadline of a change, from its acceptance; by default COPYTRADE_CHANGE_TTL_S.",
    )


def priority_option(default: Priority) -> Option[Any]:
    """`--priority`: which lanes go first."""
    return click.option(
        "--priority",
        type=click.Choice([priority.value for priority in Priority]),
        default=default.value,
        show_default=True,
        help="Interactive goes first; a share is kept for bulk.",
    )


def outcome_option() -> Option[Any]:
    """`--outcome`: only what ended so."""
    return click.option(
        "--outcome",
        type=click.Choice([outcome.value for outcome in Outcome]),
        callback=lambda _, __, value: None if value is None else Outcome(value),
        help="Only what ended so.",
    )


@contextmanager
def interruptible(hint: Callable[[], str]) -> Iterator[None]:
    """Turns Ctrl-C in the body into an end that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Ended(Exit.INTERRUPTED, f"interrupted; {hint()}") from None

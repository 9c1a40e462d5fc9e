"""Plans: what to ask Redis and what to make of its replies, without I/O. One plan serves the asynchronous and the
synchronous twin.

A plan is a generator. It yields trips, each one round trip, is sent the reply, and returns what was wanted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from producers.transport.scripts import Argument, Script

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunScript:
    """One run of a script; its reply is the script's.

    Attributes:
        script: which.
        keys: its KEYS.
        args: its ARGV.
        idempotent: whether a second run does and answers what the first did, if that one's reply was lost.
    """

    script: Script
    keys: list[str]
    args: list[Argument]
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """Some commands in one transaction; the reply is the list of theirs."""

    commands: list[tuple[Argument, ...]]


Step = RunScript | Transaction
Plan: TypeAlias = Generator[Step, Any, T]

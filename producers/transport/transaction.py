"""Transactions on a Redis that is full: the same commands, as a script that it permits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from producers.transport.plan import RunScript, Transaction
from producers.transport.scripts import Argument, Script

TRANSACTION = Script.load("producers.transport", "transaction.lua")


def as_script(transaction: Transaction[Any]) -> RunScript[list[Any]]:
    """Return the run of a script that does what a transaction does."""
    args: list[Argument] = [int(not transaction.idempotent)]
    for command in transaction.commands:
        args += (len(command), *command)
    return RunScript(TRANSACTION, args, idempotent=transaction.idempotent)


def convert(
    transaction: Transaction[Any], replies: list[Any], callbacks: Mapping[Any, Callable[[Any], Any]]
) -> list[Any]:
    """Convert the script's replies as redis-py converts those to the commands.

    Args:
        transaction: the transaction that ran as a script.
        replies: a reply to each of its commands.
        callbacks: the client's `response_callbacks`.
    """
    return [
        callbacks[name](reply) if name in callbacks else reply
        for (name, *_), reply in zip(transaction.commands, replies, strict=True)
    ]

"""Plans: sequences of Redis steps and the parsing of their replies. No I/O; the asyncio and the sync runner share them.

A plan is a generator that yields steps, receives the reply to each, and returns its result. A step is one round trip.
Steps are plans too, typed by their reply, so a plan delegates to them:

    verdicts = yield from RunScript(CANCEL, args, parse=read_verdicts)          # what `read_verdicts` returns
    stored, queued = yield from Transaction(GET(result_key), EXISTS(job_key))   # tuple[bytes | None, int]
    payloads = yield from MGET(*job_keys)                                       # list[bytes | None]

`producers.transport.commands` has the commands. A reply that needs no parsing is typed by `RunScript[int](...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, overload

from producers.transport.scripts import Argument, Script

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


def unparsed(reply: Any) -> Any:
    """Return a reply as redis-py gave it."""
    return reply


@dataclass(frozen=True)
class RunScript(Generic[T]):
    """One run of a script.

    Attributes:
        script: the script.
        args: its ARGV.
        parse: converts the raw reply.
        idempotent: whether a second run has the same effect and the same reply as the first. Only then is it retried
            after a lost reply.
    """

    script: Script
    args: list[Argument]
    parse: Callable[[Any], T] = unparsed
    idempotent: bool = False

    def __iter__(self) -> Plan[T]:
        return self.parse((yield self))


class Transaction(Generic[T]):
    """Commands in one MULTI/EXEC; the reply is the tuple of their replies.

    A part may be a transaction: its commands are sent with the others, and its reply is a nested tuple.

    Attributes:
        commands: name and arguments of each command.
        idempotent: whether all of them are.
    """

    @overload
    def __init__(self: Transaction[tuple[A, B]], a: Transaction[A], b: Transaction[B], /) -> None: ...
    @overload
    def __init__(
        self: Transaction[tuple[A, B, C]], a: Transaction[A], b: Transaction[B], c: Transaction[C], /
    ) -> None: ...
    @overload
    def __init__(
        self: Transaction[tuple[A, B, C, D]],
        a: Transaction[A],
        b: Transaction[B],
        c: Transaction[C],
        d: Transaction[D],
        /,
    ) -> None: ...
    @overload
    def __init__(
        self: Transaction[tuple[A, B, C, D, E]],
        a: Transaction[A],
        b: Transaction[B],
        c: Transaction[C],
        d: Transaction[D],
        e: Transaction[E],
        /,
    ) -> None: ...
    @overload
    def __init__(self: Transaction[tuple[A, ...]], *parts: Transaction[A]) -> None: ...
    def __init__(self, *parts: Any) -> None:
        self.commands: list[tuple[Argument, ...]] = [arguments for part in parts for arguments in part.commands]
        self.idempotent = all(part.idempotent for part in parts)
        self._parts = parts

    def __iter__(self) -> Plan[T]:
        reply: T = self.parse(iter((yield self)))
        return reply

    def parse(self, replies: Iterator[Any]) -> Any:
        """Take the replies to these commands from `replies`, and return them parsed."""
        return tuple(part.parse(replies) for part in self._parts)


class Command(Transaction[T]):
    """One command, which is a step by itself, or a part of a transaction."""

    def __init__(
        self, arguments: tuple[Argument, ...], parse: Callable[[Any], T] = unparsed, *, idempotent: bool = False
    ) -> None:
        self.commands = [arguments]
        self.idempotent = idempotent
        self._parse = parse

    def parse(self, replies: Iterator[Any]) -> T:
        """Take one reply from `replies`, and return it parsed."""
        return self._parse(next(replies))


Step: TypeAlias = RunScript[T] | Transaction[T]
Plan: TypeAlias = Generator[Step[Any], Any, T]

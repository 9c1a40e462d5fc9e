"""Plans that pause and resume a user, a trader, an egress or everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import Listing, read_each, unix_ms
from producers.contract.validation import check_id
from producers.queue.parts import LANES, PARKING
from producers.queue.wakeups import wake_egress, wake_worker
from producers.transport.commands import HDEL, HGETALL, HSETNX, SADD, SREM, TIME_US
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script


class WakeRequest(Message):
    """What wake.lua is given: users, escaped, and 1 to end their pauses."""

    users: list[str]
    resumes: int = 0


class ResumeRequest(Message):
    """What resume.lua is given: how many lanes to move at most."""

    count: int


WAKE = Script.load("producers.queue", "wake.lua", parts=LANES, request=WakeRequest, runs_when_full=True)
RESUME = Script.load(
    "producers.queue", "resume.lua", parts=[*LANES, PARKING], request=ResumeRequest, runs_when_full=True
)

CHUNK_SIZE = 200
"""Lanes that one run moves: some 1 ms of Redis."""

ScopeKind = Literal["user", "trader", "egress", "everything"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is paused or resumed."""

    kind: ScopeKind
    name: str = ""

    @classmethod
    def from_arguments(
        cls, *, user_id: str | None, trader_id: str | None, egress: str | None, everything: bool
    ) -> Scope:
        """Return the scope of the arguments of `Producer.pause` and `Producer.resume`.

        Raises:
            InvalidId: the given ID cannot be one.
            TypeError: none or several of the arguments were given.
        """
        named: list[tuple[ScopeKind, str, str | None]] = [
            ("user", "user_id", user_id),
            ("trader", "trader_id", trader_id),
            ("egress", "egress", egress),
        ]
        scopes = [cls(kind, check_id(argument, name)) for kind, argument, name in named if name is not None]
        if everything:
            scopes.append(cls("everything"))
        if len(scopes) != 1:
            raise TypeError("give just one of user_id=, trader_id=, egress= and everything=True")
        return scopes[0]

    @property
    def field(self) -> str:
        """Its field in the hash of pauses."""
        return self.kind if self.kind == "everything" else f"{self.kind}:{keyspace.escape(self.name)}"


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in force.

    Attributes:
        kind: "user", "trader", "egress" or "everything".
        name: of the user, trader or egress; "" for everything.
        since_ms: Unix milliseconds, Redis's clock.
    """

    kind: ScopeKind
    name: str
    since_ms: int


def pause(keys: Keyspace, scope: Scope) -> Plan[bool]:
    """Stop claims of the scope; requests in flight are completed. Return False if it was paused before."""
    now_us = yield from TIME_US()
    trader = keyspace.escape(scope.name) if scope.kind == "trader" else ""
    is_new, _ = yield from Transaction(HSETNX(keys.paused, scope.field, now_us // 1000), SREM(keys.resuming, trader))
    return bool(is_new)


def resume(keys: Keyspace, scope: Scope) -> Plan[bool]:
    """End a pause, and make its lanes due. Return False if there was none.

    The lanes of a trader are moved in chunks; if the caller dies meanwhile, workers go on. Resuming a user also removes
    the mark that its API keys were rejected.
    """
    if scope.kind == "user":
        user = keyspace.escape(scope.name)
        marks = yield from HDEL(keys.rejected_keys, user)
        ended = yield from RunScript[int](WAKE, [encode(WakeRequest([user], resumes=1))])
        return bool(ended + marks)
    wake = wake_egress(keys, scope.name) if scope.kind == "egress" else wake_worker(keys)
    commands: list[Transaction[Any]] = [HDEL(keys.paused, scope.field), wake]
    if scope.kind == "trader":
        commands.append(SADD(keys.resuming, keyspace.escape(scope.name)))
    removed, *_ = yield from Transaction(*commands)
    if scope.kind == "trader":
        while (yield from RunScript(RESUME, [encode(ResumeRequest(CHUNK_SIZE))], bool, idempotent=True)):
            pass
    return bool(removed)


def list_pauses(keys: Keyspace) -> Plan[Listing[Pause]]:
    """Return the pauses in force, oldest first."""
    fields = yield from HGETALL(keys.paused)
    pauses = read_each(fields.items(), read_pause)
    pauses.sort(key=lambda pause: pause.since_ms)
    return pauses


def merge_pauses(parts: Sequence[Listing[Pause]]) -> Listing[Pause]:
    """Return the pauses of several shards, oldest first: what is paused in each of them is one pause."""
    if len(parts) == 1:
        return parts[0]
    found: dict[tuple[str, str], Pause] = {}
    for pause in sorted((pause for part in parts for pause in part), key=lambda pause: pause.since_ms):
        found.setdefault((pause.kind, pause.name), pause)
    return Listing(found.values(), malformed=sum(part.malformed for part in parts))


def read_pause(entry: tuple[bytes, bytes]) -> Pause:
    """Return the pause of an entry of the hash of pauses.

    Raises:
        ValueError: the entry is none.
    """
    field, since_ms = entry
    kind, _, name = field.decode().partition(":")
    if kind not in get_args(ScopeKind):
        raise ValueError(f"{field!r} is not paused by this program")
    return Pause(cast("ScopeKind", kind), keyspace.unescape(name), unix_ms(since_ms))


def wake_user(user_id: str) -> Plan[None]:
    """Schedule a user again: its rate has changed, or its pause has ended."""
    yield from RunScript(WAKE, [encode(WakeRequest([keyspace.escape(user_id)]))], idempotent=True)

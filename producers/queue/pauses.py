"""Plans that pause and resume a user, a trader, an egress or everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from producers.contract import keyspace
from producers.contract.keyspace import BUCKET_SUFFIX, Keyspace
from producers.contract.stored_values import Listing, read_each, unix_ms
from producers.contract.validation import check_id
from producers.queue.slicing import slices
from producers.transport.commands import HDEL, HGETALL, HSETNX, LPUSH, LTRIM, TIME_US, ZRANGEBYLEX, ZSCAN
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.scripts import Script

WAKE = Script.load("producers.queue", "wake.lua", constants={"BUCKET_SUFFIX": BUCKET_SUFFIX}, runs_when_full=True)

LANE_BATCH_SIZE = 500
SCAN_COUNT = 1000

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
    return bool((yield from HSETNX(keys.paused, scope.field, now_us // 1000)))


def resume(keys: Keyspace, scope: Scope) -> Plan[bool]:
    """End a pause, and make its lanes due. Return False if there was none.

    Resuming a user also removes the mark that its API keys were rejected.
    """
    removed, _, _ = yield from Transaction(
        HDEL(keys.paused, scope.field), LPUSH(keys.wakeups, "1"), LTRIM(keys.wakeups, 0, 0)
    )
    if scope.kind == "user":
        removed += yield from HDEL(keys.rejected_keys, keyspace.escape(scope.name))
        yield from wake_user(keys, scope.name)
    elif scope.kind == "trader":
        yield from _wake_trader(keys, scope.name)
    return bool(removed)


def list_pauses(keys: Keyspace) -> Plan[Listing[Pause]]:
    """Return the pauses in force, oldest first."""
    fields = yield from HGETALL(keys.paused)
    pauses = read_each(fields.items(), read_pause)
    pauses.sort(key=lambda pause: pause.since_ms)
    return pauses


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


def wake_user(keys: Keyspace, user_id: str) -> Plan[None]:
    """Make all lanes of a user due."""
    yield from wake_lanes((yield from user_lanes(keys, user_id)))


def _wake_trader(keys: Keyspace, trader_id: str) -> Plan[None]:
    pattern = f"*:{_escape_glob(keyspace.escape(trader_id))}"
    scan_position = 0
    while True:
        scan_position, found = yield from ZSCAN(keys.lanes, scan_position, "MATCH", pattern, "COUNT", SCAN_COUNT)
        yield from wake_lanes(read_each([lane for lane, _ in found], bytes.decode))
        if not scan_position:
            return


def wake_lanes(lanes: Sequence[str]) -> Plan[None]:
    """Make lanes due now, or when their lease or back-off ends."""
    for some in slices(lanes, LANE_BATCH_SIZE):
        yield from RunScript(WAKE, [*some])


def user_lanes(keys: Keyspace, user_id: str) -> Plan[Listing[str]]:
    """Return the names of a user's lanes that are not empty."""
    found = yield from ZRANGEBYLEX(keys.lanes, *keyspace.lane_range(user_id))
    return read_each(found, bytes.decode)


def _escape_glob(text: str) -> str:
    """Return the pattern that matches only `text`."""
    return "".join(f"\\{character}" if character in r"*?[]\^-" else character for character in text)

"""Plans that hold the queue back and let it go: pauses of a user, a trader, an egress, everything. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from producers.contract import keyspace
from producers.contract.validation import check_id
from producers.queue.bucket import BUCKET_KEYS
from producers.transport.plan import Plan, RunScript, Transaction
from producers.transport.scripts import Script

WAKE = Script.load("producers.queue", "wake.lua", constants={"HEAD_PREFIX": keyspace.HEAD, **BUCKET_KEYS})

LANE_BATCH_SIZE = 500
SCAN_COUNT = 1000

ScopeKind = Literal["user", "trader", "egress", "everything"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pause holds back."""

    kind: ScopeKind
    name: str = ""

    @classmethod
    def from_arguments(
        cls, *, user_id: str | None, trader_id: str | None, egress: str | None, everything: bool
    ) -> Scope:
        """The scope of the arguments.

        Raises:
            InvalidId: what was given cannot be an ID.
            TypeError: not just one was given.
        """
        named: list[tuple[ScopeKind, str | None]] = [("user", user_id), ("trader", trader_id), ("egress", egress)]
        given = [cls(kind, check_id(kind, name)) for kind, name in named if name is not None]
        if everything:
            given.append(cls("everything"))
        if len(given) != 1:
            raise TypeError("give just one of user_id=, trader_id=, egress= and everything=True")
        return given[0]

    @property
    def field(self) -> str:
        """Its field in PAUSED."""
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


def pause(scope: Scope) -> Plan[bool]:
    """Nothing of the scope is claimed from now on; what is in flight ends. Returns whether it was not paused."""
    (time,) = yield Transaction([("TIME",)])
    now_ms = time[0] * 1000 + time[1] // 1000
    (new,) = yield Transaction([("HSETNX", keyspace.PAUSED, scope.field, now_ms)])
    return bool(new)


def resume(scope: Scope) -> Plan[bool]:
    """Ends a pause; its lanes are due at once. Returns whether there was one.

    A user is also sent for again whose keys were refused.
    """
    (removed, _, _) = yield Transaction(
        [("HDEL", keyspace.PAUSED, scope.field), ("LPUSH", keyspace.WAKEUPS, "1"), ("LTRIM", keyspace.WAKEUPS, 0, 0)]
    )
    if scope.kind == "user":
        (trusted,) = yield Transaction([("HDEL", keyspace.REJECTED_KEYS, keyspace.escape(scope.name))])
        removed = removed or trusted
        yield from wake_user(scope.name)
    elif scope.kind == "trader":
        yield from _wake_trader(scope.name)
    return bool(removed)


def list_pauses() -> Plan[list[Pause]]:
    """The pauses in force, oldest first."""
    (fields,) = yield Transaction([("HGETALL", keyspace.PAUSED)])
    found = [_read_pause(field.decode(), int(since)) for field, since in fields.items()]
    return sorted(found, key=lambda one: one.since_ms)


def _read_pause(field: str, since_ms: int) -> Pause:
    kind, _, name = field.partition(":")
    return Pause(kind, keyspace.unescape(name), since_ms)  # type: ignore[arg-type]  # as `pause` wrote it


def wake_user(user_id: str) -> Plan[None]:
    """A user's lanes are due at once."""
    yield from wake_lanes((yield from user_lanes(user_id)))


def _wake_trader(trader_id: str) -> Plan[None]:
    pattern = f"*:{_literally(keyspace.escape(trader_id))}"
    cursor = 0
    while True:
        ((cursor, found),) = yield Transaction(
            [("ZSCAN", keyspace.LANES, cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)]
        )
        yield from wake_lanes([lane.decode() for lane, _ in found])
        if not cursor:
            return


def wake_lanes(lanes: list[str]) -> Plan[None]:
    """Lanes are due at once, but for those that are in flight or backing off."""
    for start in range(0, len(lanes), LANE_BATCH_SIZE):
        some = lanes[start : start + LANE_BATCH_SIZE]
        yield RunScript(
            WAKE,
            [keyspace.SCHEDULE, keyspace.BULK_SCHEDULE, keyspace.WAKEUPS],
            [*some],
        )


def user_lanes(user_id: str) -> Plan[list[str]]:
    """The names of a user's lanes that are not empty."""
    (found,) = yield Transaction([("ZRANGEBYLEX", keyspace.LANES, *keyspace.lane_range(user_id))])
    return [lane.decode() for lane in found]


def _literally(text: str) -> str:
    """A text as a pattern that matches nothing else."""
    return "".join(f"\\{character}" if character in r"*?[]\^-" else character for character in text)

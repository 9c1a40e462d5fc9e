"""The changes, the faults, and how each change must end. No I/O; a seed decides all that is random."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from ops.exchange import Fault
from ops.stack import User
from producers import CopySetting, Outcome, SettingsChange

USER_LIMIT_PER_S = 10
"""The exchange's limit for one user at this endpoint."""
ADDRESS_LIMIT_PER_MIN = 6_000
"""The exchange's limit for one address: all users of these workers together."""

TRADER = "star-trader"
LANE_USER = "long-lane"

REQUEST_TIMEOUT_S = 1.5
"""The workers' time-out for a reply: short, so that a reply that never comes delays the demo little."""
HANG_MS = 2_000.0
"""How long a hanging request hangs: longer than the workers' time-out."""

FAULT_SHARES = {
    "http_500": 0.02,
    "http_502": 0.02,
    "code:45001": 0.02,
    "reset_after": 0.015,
    "cut": 0.015,
    "fail": 0.01,
    "hang": 0.01,
    "http_429": 0.01,
}
"""The share of the followers whose first request meets a fault, by kind of fault; at least one each."""

MAX_THROTTLED = 2
"""Five users with a 429 in a row count as a limit of the address, which pauses all users for a second."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A change that will be enqueued.

    Attributes:
        change: the change.
        expected: how it must end; None if the producer must refuse it.
        flaw: what is wrong with it or its user; "" for nothing.
    """

    change: SettingsChange
    expected: Outcome | None = Outcome.APPLIED
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """All changes and faults.

    Attributes:
        fan_out: one change for many followers, those with a flaw last.
        lane: many changes of one user, sent in this order; their trace values count from 1.
        passers_by: single changes of other users, one after the other while the lane is drained.
        unknown: users for whom the workers have no credentials.
        wrong: wrong fields of the workers' credentials, by user.
        faults: faults of the exchange. Those of probability 1 are certain to strike.
    """

    fan_out: list[Planned]
    lane: list[Planned]
    passers_by: list[Planned]
    unknown: frozenset[str]
    wrong: Mapping[str, Mapping[str, str]]
    faults: list[Fault]

    @property
    def changes(self) -> int:
        """The number of changes."""
        return len(self.fan_out) + len(self.lane) + len(self.passers_by)

    def users(self) -> list[User]:
        """Return all users."""
        user_ids = {planned.change.user_id for planned in (*self.fan_out, *self.lane, *self.passers_by)}
        return [User(user_id) for user_id in sorted(user_ids)]


def make(*, followers: int, lane: int, seed: int) -> Scenario:
    """Return a scenario.

    Args:
        followers: followers of the fan-out, without those with a flaw.
        lane: changes of the user with the long lane.
        seed: decides which users meet faults.
    """
    rng = random.Random(seed)
    good = [_change(f"follower-{number:03}") for number in range(1, followers + 1)]
    return Scenario(
        fan_out=[*map(Planned, good), *_flawed()],
        lane=[Planned(_change(LANE_USER, trace_value=str(number))) for number in range(1, lane + 1)],
        passers_by=[Planned(_change(f"passer-by-{number:02}")) for number in range(1, max(3, lane // 6) + 1)],
        unknown=frozenset({"no-keys"}),
        wrong={
            "wrong-api-key": {"api_key": "mistyped"},
            "wrong-passphrase": {"passphrase": "mistyped"},
            "wrong-secret": {"secret_key": "mistyped"},
        },
        faults=_faults([change.user_id for change in good], rng),
    )


def _change(
    user_id: str, *, trace_value: str = "330", leverage: str = "20", stop_loss_ratio: str = "30"
) -> SettingsChange:
    setting = CopySetting(
        symbol="BTCUSDT",
        product_type="USDT-FUTURES",
        margin_type="trader",
        margin_coin="USDT",
        lever_type="specify",
        long_leverage=leverage,
        short_leverage=leverage,
        trace_type="amount",
        trace_value=trace_value,
        max_hold_size="5000",
        stop_loss_ratio=stop_loss_ratio,
    )
    return SettingsChange(user_id=user_id, trader_id=TRADER, settings=[setting])


def _flawed() -> list[Planned]:
    return [
        Planned(_change("no-keys"), Outcome.UNAUTHORIZED, "keys unknown to the workers"),
        Planned(_change("wrong-api-key"), Outcome.UNAUTHORIZED, "API key mistyped"),
        Planned(_change("wrong-passphrase"), Outcome.UNAUTHORIZED, "passphrase mistyped"),
        Planned(_change("wrong-secret"), Outcome.UNAUTHORIZED, "secret key mistyped"),
        Planned(_change("too-bold", leverage="500"), Outcome.REJECTED, "leverage above 125"),
        Planned(_change("nonsense", stop_loss_ratio="999"), None, "stop-loss ratio above 400"),
    ]


def _faults(followers: list[str], rng: random.Random) -> list[Fault]:
    """Give each of some followers one fault, and the long lane two faults at random requests."""
    remaining = rng.sample(followers, len(followers))
    faults = []
    for kind, share in FAULT_SHARES.items():
        count = max(1, round(share * len(followers)))
        if kind == "http_429":
            count = min(count, MAX_THROTTLED)
        for _ in range(min(count, len(remaining))):
            ms = HANG_MS if kind == "hang" else 0.0
            faults.append(Fault(kind, user=remaining.pop(), first=1, ms=ms))
    on_the_way = [Fault(kind, probability=0.04, user=LANE_USER, first=1) for kind in ("http_502", "reset_after")]
    return faults + on_the_way

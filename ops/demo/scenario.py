"""Who asks for what, what goes wrong, and how each change must end. No I/O; chance comes from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from ops.exchange import Fault
from ops.stack import User
from producers import CopySetting, Outcome, SettingsChange

USER_LIMIT_PER_S = 10
"""What the exchange allows a user at this endpoint."""
ADDRESS_LIMIT_PER_MIN = 6_000
"""What the exchange allows an address: all users of these workers together."""

TRADER = "star-trader"
LANE_USER = "long-lane"

REQUEST_TIMEOUT_S = 1.5
"""How long a worker waits for a reply: short, so that a reply that never comes costs the demo little."""
HANG_MS = 2_000.0
"""How long a hanging request hangs: longer than any worker waits."""

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
"""The share of the followers whose first request is struck, by kind of fault; at least one each."""

MOST_THROTTLED = 2
"""More users with a 429 at the same time would be taken for a limit of the address, and rightly hold everybody."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A change that will be asked for.

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
    """All that will be asked for.

    Attributes:
        fan_out: one change for many followers, those with a flaw last.
        lane: many changes of one user, to be sent in this order; their trace values count from 1.
        passers_by: single changes of other users, one after the other while the lane is drained.
        unknown: users that the workers have no credentials for.
        wrong: fields of the workers' credentials that are wrong, by user.
        faults: what goes wrong at the exchange. Those of probability 1 are certain to strike.
    """

    fan_out: list[Planned]
    lane: list[Planned]
    passers_by: list[Planned]
    unknown: frozenset[str]
    wrong: Mapping[str, Mapping[str, str]]
    faults: list[Fault]

    @property
    def changes(self) -> int:
        """How many changes there are."""
        return len(self.fan_out) + len(self.lane) + len(self.passers_by)

    def users(self) -> list[User]:
        """Everybody, as the exchange knows them."""
        everybody = {planned.change.user_id for planned in (*self.fan_out, *self.lane, *self.passers_by)}
        return [User(user_id) for user_id in sorted(everybody)]


def make(*, followers: int, lane: int, seed: int) -> Scenario:
    """The scenario of given size.

    Args:
        followers: how many followers get the change of the fan-out, flawed ones not counted.
        lane: how many changes the user with the long lane has.
        seed: decides whom the faults strike.
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
    """Each of some followers meets one fault once; the long lane meets two somewhere on its way."""
    spared = rng.sample(followers, len(followers))
    faults = []
    for kind, share in FAULT_SHARES.items():
        count = max(1, round(share * len(followers)))
        if kind == "http_429":
            count = min(count, MOST_THROTTLED)
        for _ in range(min(count, len(spared))):
            ms = HANG_MS if kind == "hang" else 0.0
            faults.append(Fault(kind, user=spared.pop(), first=1, ms=ms))
    on_the_way = [Fault(kind, probability=0.04, user=LANE_USER, first=1) for kind in ("http_502", "reset_after")]
    return faults + on_the_way

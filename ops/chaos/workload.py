"""The changes that producers request. No I/O: a step depends on the seed, the producer and its number only.

Every change has a unique trace value, by which a request at the exchange is matched to it. Some users and traders have
names with `:` and `%`; their lanes must not be mixed up with others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from producers import CopySetting, Priority, SettingsChange
from producers.queue.fan_out import member_job_id

BUSY_USERS = tuple(f"hot-{number}" for number in range(8))
"""Users with many changes in several lanes, who reach their limit."""
COALESCING_USERS = tuple(f"joining-{number}" for number in range(8))
"""Users whose changes coalesce."""
SPECIAL_USERS = ("a:b", "a", "a%3Ab", "50%", "{tag}", "x*y")
ORDINARY_USERS = tuple(f"crowd-{number:03}" for number in range(400))
MISCONFIGURED_USERS = ("locked-0", "locked-1")
"""Users whose keys are wrong for a while."""
POISONED_USERS = ("prey-0", "prey-1", "prey-2")
"""Users in whose lanes malformed jobs are put."""
USERS = (*BUSY_USERS, *COALESCING_USERS, *SPECIAL_USERS, *ORDINARY_USERS, *MISCONFIGURED_USERS, *POISONED_USERS)

TRADERS = ("star", "b:star", "100%")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT")

STEP_S = 0.5
FIRST_FINAL_TRACE_VALUE = 90_000_000_000
"""The trace values of the final changes start here."""
TOO_HIGH_LEVERAGE = "500"
"""The exchange rejects it; the producer does not validate it."""


class Method(StrEnum):
    """The call that requests a step's changes."""

    ONE_BY_ONE = "one by one"
    MANY = "many"
    FAN_OUT = "fan out"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Item:
    """One change of a step.

    Attributes:
        user: its user.
        trader: its trader.
        trace_value: identifies it at the exchange.
        symbols: the pairs that it sets.
        must_be_rejected: whether the exchange rejects it.
    """

    user: str
    trader: str
    trace_value: str
    symbols: tuple[str, ...] = SYMBOLS[:1]
    must_be_rejected: bool = False

    @property
    def change(self) -> SettingsChange:
        """The change as it is enqueued."""
        leverage = TOO_HIGH_LEVERAGE if self.must_be_rejected else None
        settings = [_setting(symbol, self.trace_value, leverage) for symbol in self.symbols]
        return SettingsChange(user_id=self.user, trader_id=self.trader, settings=settings)


@dataclass(frozen=True, slots=True)
class Step:
    """The changes that a producer requests at one time.

    Attributes:
        number: counts the producer's steps from 0.
        at_s: the earliest time, seconds from the start.
        name: its batch ID, or the start of its job IDs.
        method: the call.
        items: the changes in order.
        priority: of all changes.
        coalesce: whether the changes may be sent together.
        ttl_s: their deadline; None for the default.
        repeats: whether the call is repeated until it is answered; else its changes may or may not be accepted.
        cancels: how many of the changes are cancelled right afterwards.
    """

    number: int
    at_s: float
    name: str
    method: Method
    items: tuple[Item, ...]
    priority: Priority
    coalesce: bool = False
    ttl_s: float | None = None
    repeats: bool = True
    cancels: int = 0

    def job_id(self, position: int) -> str:
        """Return the ID of the change at a position."""
        match self.method:
            case Method.TEMPLATE:
                return member_job_id(self.name, self.items[position].user)
            case Method.FAN_OUT:
                return member_job_id(self.name, str(position))
            case _:
                return f"{self.name}.{position}"


def steps(seconds: float) -> int:
    """Return the number of a producer's steps."""
    return max(1, int(seconds / STEP_S))


def step(seed: int, producer: int, number: int) -> Step:
    """Return a step of a producer, always the same one."""
    rng = random.Random(f"{seed}/{producer}/{number}")
    method = rng.choices(tuple(Method), (3, 5, 2, 3))[0]
    name = f"p{producer}-{number}"
    coalesce = method is Method.MANY and rng.random() < 0.3
    base = ((1 + producer) * 100_000 + number) * 1_000
    items: list[Item]
    match method:
        case Method.TEMPLATE:
            trader = rng.choice(TRADERS)
            items = [Item(user, trader, str(base)) for user in rng.sample(ORDINARY_USERS, rng.randint(30, 90))]
        case Method.ONE_BY_ONE:
            items = [_item(rng, base + index) for index in range(rng.randint(1, 6))]
        case _ if coalesce:
            users = rng.sample(COALESCING_USERS, 3)
            items = [_coalescing_item(rng, rng.choice(users), base + index) for index in range(rng.randint(10, 40))]
        case _:
            items = [_item(rng, base + index) for index in range(rng.randint(15, 60))]
    return Step(
        number=number,
        at_s=number * STEP_S,
        name=name,
        method=method,
        items=tuple(items),
        priority=Priority.BULK
        if rng.random() < (0.7 if method in (Method.FAN_OUT, Method.TEMPLATE) else 0.2)
        else Priority.INTERACTIVE,
        coalesce=coalesce,
        ttl_s=rng.choice((0.8, 1.5, 3.0)) if rng.random() < 0.04 else None,
        repeats=rng.random() < 0.9,
        cancels=rng.randint(1, 4) if rng.random() < 0.15 else 0,
    )


def lanes_of(seed: int, producers: int, seconds: float) -> list[tuple[str, str]]:
    """Return every lane for which some producer requests a change."""
    every = (step(seed, producer, number) for producer in range(producers) for number in range(steps(seconds)))
    return sorted({(item.user, item.trader) for one in every for item in one.items})


def final_item(user: str, trader: str, number: int) -> Item:
    """Return the change that is requested after everything else, to check that the lane still works."""
    return Item(user, trader, str(FIRST_FINAL_TRACE_VALUE + number))


def _item(rng: random.Random, trace_value: int) -> Item:
    group = rng.choices(
        (BUSY_USERS, SPECIAL_USERS, ORDINARY_USERS, MISCONFIGURED_USERS, POISONED_USERS, COALESCING_USERS),
        (14, 5, 74, 2, 4, 1),
    )[0]
    user = rng.choice(group)
    trader = rng.choice(TRADERS) if group in (BUSY_USERS, SPECIAL_USERS) else TRADERS[0]
    must_be_rejected = group is ORDINARY_USERS and rng.random() < 0.02
    return Item(user, trader, str(trace_value), must_be_rejected=must_be_rejected)


def _coalescing_item(rng: random.Random, user: str, trace_value: int) -> Item:
    symbols = tuple(rng.sample(SYMBOLS, rng.randint(1, 3)))
    return Item(user, TRADERS[0], str(trace_value), symbols)


def _setting(symbol: str, trace_value: str, leverage: str | None) -> CopySetting:
    return CopySetting(
        symbol=symbol,
        product_type="USDT-FUTURES",
        margin_type="trader",
        margin_coin="USDT",
        lever_type="specify" if leverage else "trader",
        long_leverage=leverage,
        trace_type="amount",
        trace_value=trace_value,
    )

"""What producers ask for. No I/O: each step follows from the seed, the producer's number and the step's number.

Every change carries a mark of its own as its trace value, by which a request that arrives at the exchange is traced
back to it. Users and traders with `:` and `%` in their names are among them, whose lanes must not be taken for others'.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from producers import CopySetting, Priority, SettingsChange

BUSY_USERS = tuple(f"hot-{number}" for number in range(8))
"""Users with many changes in several lanes: they are at their limit."""
COALESCING_USERS = tuple(f"joining-{number}" for number in range(8))
"""Users whose changes coalesce."""
SPECIAL_USERS = ("a:b", "a", "a%3Ab", "50%", "{tag}", "x*y")
ORDINARY_USERS = tuple(f"crowd-{number:03}" for number in range(400))
MISCONFIGURED_USERS = ("locked-0", "locked-1")
"""Users whose keys are wrong for a while."""
POISONED_USERS = ("prey-0", "prey-1", "prey-2")
"""Users in whose lanes a foe writes."""
USERS = (*BUSY_USERS, *COALESCING_USERS, *SPECIAL_USERS, *ORDINARY_USERS, *MISCONFIGURED_USERS, *POISONED_USERS)

TRADERS = ("star", "b:star", "100%")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT")

STEP_S = 0.5
LAST_MARK = 90_000_000_000
"""From here on, trace values are of changes that are asked for at the end."""
TOO_BOLD = "500"
"""A leverage that the exchange refuses, and the producer does not know of."""


class Method(StrEnum):
    """By which call a step's changes are asked for."""

    ONE_BY_ONE = "one by one"
    MANY = "many"
    FAN_OUT = "fan out"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Item:
    """One change of a step.

    Attributes:
        user: whose.
        trader: of which trader.
        mark: its trace value.
        symbols: the pairs it sets.
        is_bold: whether the exchange refuses it.
    """

    user: str
    trader: str
    mark: str
    symbols: tuple[str, ...] = SYMBOLS[:1]
    is_bold: bool = False

    @property
    def change(self) -> SettingsChange:
        """As it is asked for."""
        settings = [_setting(symbol, self.mark, is_bold=self.is_bold) for symbol in self.symbols]
        return SettingsChange(user_id=self.user, trader_id=self.trader, settings=settings)


@dataclass(frozen=True, slots=True)
class Step:
    """What a producer asks for at one time.

    Attributes:
        number: counts the producer's steps, from 0.
        at_s: not before, seconds from the start.
        name: of the step: its batch ID, or what its job IDs begin with.
        how: by which call.
        items: the changes, in their order.
        priority: of all.
        coalesce: whether they join.
        ttl_s: their deadline; None for the default.
        insists: whether the call is repeated until it is answered; else its changes may or may not be accepted.
        cancels: how many of the changes are taken back at once.
    """

    number: int
    at_s: float
    name: str
    how: Method
    items: tuple[Item, ...]
    priority: Priority
    coalesce: bool = False
    ttl_s: float | None = None
    insists: bool = True
    cancels: int = 0

    def job_id(self, index: int) -> str:
        """The ID that the change at this place gets."""
        match self.how:
            case Method.TEMPLATE:
                return f"{self.name}//{self.items[index].user}"
            case Method.FAN_OUT:
                return f"{self.name}//{index}"
            case _:
                return f"{self.name}.{index}"


def steps(seconds: float) -> int:
    """How many steps a producer has."""
    return max(1, int(seconds / STEP_S))


def step(seed: int, producer: int, number: int) -> Step:
    """A producer's step; whoever asks again gets the same."""
    rng = random.Random(f"{seed}/{producer}/{number}")
    how = rng.choices(tuple(Method), (3, 5, 2, 3))[0]
    name = f"p{producer}-{number}"
    coalesce = how is Method.MANY and rng.random() < 0.3
    mark = 1 + producer
    base = (mark * 100_000 + number) * 1_000
    items: list[Item]
    match how:
        case Method.TEMPLATE:
            trader = rng.choice(TRADERS)
            items = [Item(user, trader, str(base)) for user in rng.sample(ORDINARY_USERS, rng.randint(30, 90))]
        case Method.ONE_BY_ONE:
            items = [_item(rng, base + index) for index in range(rng.randint(1, 6))]
        case _ if coalesce:
            users = rng.sample(COALESCING_USERS, 3)
            items = [_joining(rng, rng.choice(users), base + index) for index in range(rng.randint(10, 40))]
        case _:
            items = [_item(rng, base + index) for index in range(rng.randint(15, 60))]
    return Step(
        number=number,
        at_s=number * STEP_S,
        name=name,
        how=how,
        items=tuple(items),
        priority=Priority.BULK
        if rng.random() < (0.7 if how in (Method.FAN_OUT, Method.TEMPLATE) else 0.2)
        else Priority.INTERACTIVE,
        coalesce=coalesce,
        ttl_s=rng.choice((0.8, 1.5, 3.0)) if rng.random() < 0.04 else None,
        insists=rng.random() < 0.9,
        cancels=rng.randint(1, 4) if rng.random() < 0.15 else 0,
    )


def lanes_of(seed: int, producers: int, seconds: float) -> list[tuple[str, str]]:
    """Every user and trader that some producer asks something for."""
    every = (step(seed, producer, number) for producer in range(producers) for number in range(steps(seconds)))
    return sorted({(item.user, item.trader) for one in every for item in one.items})


def last_word(user: str, trader: str, number: int) -> Item:
    """The change that is asked for after everything else, to see that the lane is alive."""
    return Item(user, trader, str(LAST_MARK + number))


def _item(rng: random.Random, mark: int) -> Item:
    group = rng.choices(
        (BUSY_USERS, SPECIAL_USERS, ORDINARY_USERS, MISCONFIGURED_USERS, POISONED_USERS, COALESCING_USERS),
        (14, 5, 74, 2, 4, 1),
    )[0]
    user = rng.choice(group)
    trader = rng.choice(TRADERS) if group in (BUSY_USERS, SPECIAL_USERS) else TRADERS[0]
    is_bold = group is ORDINARY_USERS and rng.random() < 0.02
    return Item(user, trader, str(mark), is_bold=is_bold)


def _joining(rng: random.Random, user: str, mark: int) -> Item:
    symbols = tuple(rng.sample(SYMBOLS, rng.randint(1, 3)))
    return Item(user, TRADERS[0], str(mark), symbols)


def _setting(symbol: str, mark: str, *, is_bold: bool) -> CopySetting:
    return CopySetting(
        symbol=symbol,
        product_type="USDT-FUTURES",
        margin_type="trader",
        margin_coin="USDT",
        lever_type="specify" if is_bold else "trader",
        long_leverage=TOO_BOLD if is_bold else None,
        trace_type="amount",
        trace_value=mark,
    )

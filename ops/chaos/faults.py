"""Carries events out: one method for each kind of event."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from ops.chaos.arq_app import ArqApp
from ops.chaos.environment import EGRESSES, JITTER_MS, LATENCY_MS, Environment
from ops.chaos.schedule import KINDS, Event
from ops.chaos.user_keys import Keys, toml
from ops.chaos.workload import BUSY_USERS, COALESCING_USERS, MISCONFIGURED_USERS, ORDINARY_USERS, TRADERS, USERS

ROTATED_USERS = 60
PINNED_USERS = 30
"""Users whose keys are rotated at once."""
HANG_MS = 2_500.0
BASE_LATENCY = {"kind": "latency", "ms": LATENCY_MS, "jitter_ms": JITTER_MS}
THROTTLED_REQUESTS = 3
SLOW_RATE_PER_S = 3.0

T = TypeVar("T")


class Faults:
    """Carries events out.

    Attributes:
        misconfigured_users: users whose keys were wrong for a while.
        arq_app: requests changes with nothing but arq.
    """

    def __init__(self, environment: Environment) -> None:
        self.misconfigured_users: set[str] = set()
        self.arq_app = ArqApp(environment.server.dsn)
        self._environment = environment
        self._wrong_keys: dict[str, Keys] = {}
        self._old_keys: list[tuple[str, Keys]] = []
        self._exchange_faults: dict[Event, Mapping[str, object]] = {}
        self._exchange_lock = asyncio.Lock()
        self._rotation_lock = asyncio.Lock()
        redis, retry = environment.redis, environment.retry
        self._handlers: dict[str, Callable[[Event], Awaitable[None]]] = {
            "kill worker": lambda event: _pick(environment.workers, event).replace(kill=True),
            "stall worker": lambda event: _pick(environment.workers, event).stall(event.lasts_s),
            "stop worker": lambda event: _pick(environment.workers, event).replace(kill=False),
            "kill producer": lambda event: _pick(environment.producers, event).replace(kill=True),
            "stall producer": lambda event: _pick(environment.producers, event).stall(event.lasts_s),
            **environment.server.faults(redis),
            "flush scripts": lambda _: retry(redis.script_flush),
            "exchange away": self._stop_exchange,
            "throttle user": self._throttle,
            "poison": lambda event: retry(lambda: environment.interference.write(event.which)),
            "rotate keys": self._rotate_keys,
            "wrong keys": self._misconfigure_keys,
            "slow user": self._slow_user,
            "pin users": self._pin_users,
            "arq submit": lambda event: self.arq_app.submit(event.which),
        }

    async def carry_out(self, event: Event) -> None:
        """Carry an event out and return when it is over."""
        if event.kind in self._handlers:
            await self._handlers[event.kind](event)
        elif event.kind.startswith("pause "):
            await self._pause(event)
        else:
            await self._with_exchange_fault(event, _exchange_fault(event.kind))

    async def end(self) -> None:
        """End the exchange's faults, and every pause that is left."""
        environment = self._environment
        self._exchange_faults.clear()
        await self._set_exchange_faults()
        for pause in await environment.retry(environment.producer.paused):
            scope = "egress" if pause.kind == "egress" else f"{pause.kind}_id"
            what: dict[str, Any] = {"everything": True} if pause.kind == "everything" else {scope: pause.name}
            await environment.retry(lambda what=what: environment.producer.resume(**what))  # type: ignore[misc]

    async def _stop_exchange(self, event: Event) -> None:
        await self._environment.control_exchange("away", json={"ms": event.lasts_s * 1000})
        await asyncio.sleep(event.lasts_s)

    async def _throttle(self, event: Event) -> None:
        user = _pick(BUSY_USERS, event)
        await self._with_exchange_fault(event, {"kind": "http_429", "user": user, "first": THROTTLED_REQUESTS})

    async def _with_exchange_fault(self, event: Event, fault: Mapping[str, object]) -> None:
        self._exchange_faults[event] = fault
        await self._set_exchange_faults()
        await asyncio.sleep(event.lasts_s)
        del self._exchange_faults[event]
        await self._set_exchange_faults()

    async def _set_exchange_faults(self) -> None:
        async with self._exchange_lock:
            await self._environment.control_exchange("faults", json=[BASE_LATENCY, *self._exchange_faults.values()])

    async def _rotate_keys(self, event: Event) -> None:
        """Give some users new keys: first at the exchange, then for the workers. Then revoke the old keys."""
        environment = self._environment
        async with self._rotation_lock:
            old = environment.user_keys.rotate(tuple(random.Random(event.which).sample(USERS, ROTATED_USERS)))
            self._old_keys += old.items()
            await environment.control_exchange("accounts", data=toml(environment.user_keys.current, self._old_keys))
            await self._write_keys()
            if environment.key_store.max_age_s is not None:
                await asyncio.sleep(environment.key_store.max_age_s)
                self._old_keys.clear()
                await environment.control_exchange("accounts", data=toml(environment.user_keys.current))

    async def _misconfigure_keys(self, event: Event) -> None:
        user = _pick(MISCONFIGURED_USERS, event)
        self.misconfigured_users.add(user)
        self._wrong_keys[user] = self._environment.user_keys.wrong()
        await self._write_keys()
        await asyncio.sleep(event.lasts_s)
        self._wrong_keys.pop(user, None)
        await self._write_keys()

    async def _write_keys(self) -> None:
        environment = self._environment
        await environment.retry(lambda: environment.key_store.write(environment.user_keys.current | self._wrong_keys))

    async def _pause(self, event: Event) -> None:
        scopes: dict[str, dict[str, Any]] = {
            "user": {"user_id": _pick((*BUSY_USERS, *COALESCING_USERS, *ORDINARY_USERS[:20]), event)},
            "trader": {"trader_id": _pick(TRADERS[1:], event)},
            "egress": {"egress": EGRESSES[0]},
            "everything": {"everything": True},
        }
        scope = scopes[event.kind.removeprefix("pause ")]
        await self._environment.retry(lambda: self._environment.producer.pause(**scope))
        await asyncio.sleep(event.lasts_s)
        await self._environment.retry(lambda: self._environment.producer.resume(**scope))

    async def _slow_user(self, event: Event) -> None:
        user = _pick((*BUSY_USERS, *COALESCING_USERS), event)
        await self._environment.retry(lambda: self._environment.producer.limit_user(user, SLOW_RATE_PER_S))
        await asyncio.sleep(event.lasts_s)
        await self._environment.retry(lambda: self._environment.producer.limit_user(user, None))

    async def _pin_users(self, event: Event) -> None:
        """Pin users to egresses, then others or none; an egress may have no worker meanwhile."""
        users = random.Random(event.which).sample(USERS, PINNED_USERS)
        await self._environment.retry(
            lambda: self._environment.producer.pin_users(dict.fromkeys(users, _pick(EGRESSES, event)))
        )
        await asyncio.sleep(event.lasts_s)
        await self._environment.retry(lambda: self._environment.producer.pin_users(dict.fromkeys(users)))


def _pick(options: Sequence[T], event: Event) -> T:
    return options[event.which % len(options)]


def _exchange_fault(name: str) -> dict[str, object]:
    kind = name.removeprefix("exchange ")
    times = {"hang": {"ms": HANG_MS}, "latency": {"ms": 20.0, "jitter_ms": 300.0}}
    return {"kind": kind, "probability": KINDS[name].share, **times.get(kind, {})}

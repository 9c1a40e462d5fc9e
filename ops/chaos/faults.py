"""Makes trouble: one method for each kind of event, by the first word of its kind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ops.chaos import leaks
from ops.chaos.arq_app import ArqApp
from ops.chaos.environment import EGRESSES, JITTER_MS, LATENCY_MS, Environment
from ops.chaos.interference import hostile_call
from ops.chaos.journal import Hostile
from ops.chaos.schedule import WINDOWS, Event
from ops.chaos.user_keys import Keys, toml
from ops.chaos.workload import BUSY_USERS, COALESCING_USERS, MISCONFIGURED_USERS, ORDINARY_USERS, TRADERS, USERS
from producers import QueueUnavailable

ROTATED = 60
"""Users whose keys are rotated at once."""
HANG_MS = 2_500.0
ALWAYS = {"kind": "latency", "ms": LATENCY_MS, "jitter_ms": JITTER_MS}
THROTTLED_REQUESTS = 3
SLOW_RATE_PER_S = 3.0


class Faults:
    """Carries events out.

    Attributes:
        hostile: what became of hostile calls.
        wrong_users: users whose keys were wrong for a while.
        leaks: secrets that were found in Redis meanwhile.
        arq_app: asks for changes with nothing but arq.
    """

    def __init__(self, world: Environment) -> None:
        self.hostile: list[Hostile] = []
        self.wrong_users: set[str] = set()
        self.leaks: list[str] = []
        self.arq_app = ArqApp(world)
        self._world = world
        self._wrong: dict[str, Keys] = {}
        self._old_keys: list[tuple[str, Keys]] = []
        self._faults: dict[Event, Mapping[str, object]] = {}
        self._fault_setting = asyncio.Lock()
        self._rotating = asyncio.Lock()
        self._server = asyncio.Lock()
        self._kinds: dict[str, Callable[[Event], Awaitable[None]]] = {
            "kill worker": lambda event: _one_of(world.workers, event).kill(),
            "stall worker": lambda event: _one_of(world.workers, event).stall(event.lasts_s),
            "stop worker": lambda event: _one_of(world.workers, event).restart(),
            "kill producer": lambda event: _one_of(world.producers, event).kill(),
            "stall producer": lambda event: _one_of(world.producers, event).stall(event.lasts_s),
            "restart redis": lambda _: self._restart_redis(world.server.stop),
            "kill redis": lambda _: self._restart_redis(world.server.kill),
            "hang redis": lambda event: self._alone(lambda: world.server.hang(event.lasts_s)),
            "fill redis": lambda event: self._alone(lambda: world.server.fill(world.redis, event.lasts_s)),
            "demote redis": lambda event: self._alone(lambda: world.server.demote(world.redis, event.lasts_s)),
            "cut redis": lambda _: world.insist(lambda: world.server.cut(world.redis)),
            "flush scripts": lambda _: world.insist(world.redis.script_flush),
            "dump redis": self._look_for_leaks,
            "exchange away": self._send_exchange_away,
            "throttle user": self._throttle,
            "poison": lambda event: world.insist(lambda: world.foe.strike(event.who)),
            "hostile call": self._hostile_call,
            "rotate keys": self._rotate,
            "wrong keys": self._wrong_keys,
            "slow user": self._slow,
            "arq submit": lambda event: self.arq_app.submit(event.who),
        }

    async def carry_out(self, event: Event) -> None:
        """Makes an event happen; returns when it is over."""
        if event.kind in self._kinds:
            await self._kinds[event.kind](event)
        elif event.kind.startswith("pause "):
            await self._pause(event)
        else:
            await self._with_fault(event, _fault(event.kind.removeprefix("exchange ")))

    async def end(self) -> None:
        """What would go on for ever ends."""
        world = self._world
        self._faults.clear()
        await self._set_faults()
        await world.insist(world.foe.clean_up)
        for pause in await world.insist(world.producer.paused):
            scope = "egress" if pause.kind == "egress" else f"{pause.kind}_id"
            what: dict[str, Any] = {"everything": True} if pause.kind == "everything" else {scope: pause.name}
            await world.insist(lambda what=what: world.producer.resume(**what))  # type: ignore[misc]

    async def _alone(self, strike: Callable[[], Awaitable[None]]) -> None:
        async with self._server:
            await self._world.insist(strike)

    async def _restart_redis(self, end: Callable[[], Awaitable[None]]) -> None:
        async with self._server:
            await end()
            await self._world.server.start()

    async def _look_for_leaks(self, _: Event) -> None:
        world = self._world
        when = f"at {world.now_s():.0f} s"
        self.leaks += await world.insist(lambda: leaks.in_redis(world.redis, world.secrets(), when))

    async def _send_exchange_away(self, event: Event) -> None:
        await self._world.tell_exchange("away", json={"ms": event.lasts_s * 1000})
        await asyncio.sleep(event.lasts_s)

    async def _throttle(self, event: Event) -> None:
        user = BUSY_USERS[event.who % len(BUSY_USERS)]
        await self._with_fault(event, {"kind": "http_429", "user": user, "first": THROTTLED_REQUESTS})

    async def _with_fault(self, event: Event, fault: Mapping[str, object]) -> None:
        self._faults[event] = fault
        await self._set_faults()
        await asyncio.sleep(event.lasts_s)
        del self._faults[event]
        await self._set_faults()

    async def _set_faults(self) -> None:
        async with self._fault_setting:
            await self._world.tell_exchange("faults", json=[ALWAYS, *self._faults.values()])

    async def _hostile_call(self, event: Event) -> None:
        async def call() -> Hostile:
            answer = await hostile_call(self._world.producer, event.who)
            if answer is None:
                raise QueueUnavailable("the hostile call was not answered")
            return answer

        self.hostile.append(await self._world.insist(call))

    async def _rotate(self, event: Event) -> None:
        """The exchange knows new keys before workers have them, and old ones until nobody uses them."""
        world = self._world
        async with self._rotating:
            old = world.ring.rotate(tuple(random.Random(event.who).sample(USERS, ROTATED)))
            self._old_keys += old.items()
            await world.tell_exchange("accounts", data=toml(world.ring.current, self._old_keys))
            await self._write_keys()
            if world.key_store.old_ones_live_s is not None:
                await asyncio.sleep(world.key_store.old_ones_live_s)
                self._old_keys.clear()
                await world.tell_exchange("accounts", data=toml(world.ring.current))

    async def _wrong_keys(self, event: Event) -> None:
        user = MISCONFIGURED_USERS[event.who % len(MISCONFIGURED_USERS)]
        self.wrong_users.add(user)
        self._wrong[user] = self._world.ring.wrong()
        await self._write_keys()
        await asyncio.sleep(event.lasts_s)
        self._wrong.pop(user, None)
        await self._write_keys()

    async def _write_keys(self) -> None:
        world = self._world
        await world.insist(lambda: world.key_store.write(world.ring.current | self._wrong))

    async def _pause(self, event: Event) -> None:
        users = (*BUSY_USERS, *COALESCING_USERS, *ORDINARY_USERS[:20])
        scopes: dict[str, dict[str, Any]] = {
            "user": {"user_id": users[event.who % len(users)]},
            "trader": {"trader_id": TRADERS[1 + event.who % (len(TRADERS) - 1)]},
            "egress": {"egress": EGRESSES[0]},
            "everything": {"everything": True},
        }
        scope = scopes[event.kind.removeprefix("pause ")]
        await self._world.insist(lambda: self._world.producer.pause(**scope))
        await asyncio.sleep(event.lasts_s)
        await self._world.insist(lambda: self._world.producer.resume(**scope))

    async def _slow(self, event: Event) -> None:
        user = (*BUSY_USERS, *COALESCING_USERS)[event.who % (len(BUSY_USERS) + len(COALESCING_USERS))]
        await self._world.insist(lambda: self._world.producer.limit_user(user, SLOW_RATE_PER_S))
        await asyncio.sleep(event.lasts_s)
        await self._world.insist(lambda: self._world.producer.limit_user(user, None))


def _one_of(places: list[Any], event: Event) -> Any:
    return places[event.who % len(places)]


def _fault(kind: str) -> dict[str, object]:
    fault: dict[str, object] = {"kind": kind, "probability": WINDOWS[kind][0]}
    if kind == "hang":
        fault["ms"] = HANG_MS
    if kind == "latency":
        fault |= {"ms": 20.0, "jitter_ms": 300.0}
    return fault

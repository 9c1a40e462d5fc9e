"""An egress over four shards of a real server that has the test's time: workers, and the slots that they take."""

from __future__ import annotations

import random

from redis.exceptions import ConnectionError as RedisConnectionError

from producers import Priority, SettingsChange
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.transport.clients import keyspace_of
from producers.transport.script_messages import decode
from producers.transport.shards import Shards
from tests.support.changes import change
from tests.support.manual_clock import ManualClock
from tests.support.timed_redis import TimedRedis
from worker.exchange.egress_slot import EgressSlots, SlotState
from worker.queue.claim import Claimer
from worker.queue.claim_messages import ClaimReply
from worker.queue.egress_shares import EgressShares
from worker.queue.rate import Pacing
from worker.queue.session import Session
from worker.settings import WorkerSettings

SHARDS = 4
SETTINGS = WorkerSettings(session_ttl_s=100_000)
PACING = Pacing.from_rates(user_rate_per_s=10_000, egress_rate_per_s=100, margin_percent=0, shards=SHARDS)
START_CHANCE = 0.1


class Worker:
    """One worker's claimers, one for each shard, and what it knows of the shares."""

    def __init__(self, shards: Shards[TimedRedis], clock: ManualClock) -> None:
        self.shares = EgressShares(shards, clock, SETTINGS, PACING)
        self.claimers = [
            Claimer(
                client,
                clock,
                SETTINGS,
                PACING,
                Session(client, clock, SETTINGS, PACING),
                share=self.shares.of(number),
            )
            for number, client in enumerate(shards.clients)
        ]

    async def open(self) -> None:
        """Open its sessions."""
        for claimer in self.claimers:
            await claimer.session.renew()

    def is_new_epoch(self) -> bool:
        """Return whether the next epoch has begun, or nothing is known yet."""
        known = self.shares.known
        return known is None or self.shares.clock.uptime() > known.begins_s(known.epoch + 1, 0.1)


class Egress:
    """Four shards, the workers of one egress, and the slots that they took (us).

    Attributes:
        ask_chance: how probable it is that a worker asks for the shares in a tick in which it should.
        starts: how many further workers took a slot to start.
    """

    def __init__(self, shards: Shards[TimedRedis], clock: ManualClock) -> None:
        self.shards = shards
        self.clock = clock
        self.workers = [Worker(shards, clock) for _ in range(2)]
        self.slots: list[list[int]] = [[] for _ in shards.clients]
        self._late: list[tuple[int, tuple[object, ...], int]] = []  # at tick, script, shard
        self._users = self.starts = 0
        self.ask_chance = 1.0

    async def enqueue(self, shard: int, count: int) -> None:
        """Enqueue changes of as many new users in a shard."""
        client = self.shards.clients[shard]
        options = SubmitOptions(1000, Priority.INTERACTIVE, False, "", "")
        changes: list[SettingsChange] = [change(f"u{self._users + n}") for n in range(count)]
        self._users += count
        now_ms = self.clock.now_ms
        rows = [Submission.from_change(one, one.user_id, options, now_ms=now_ms, ttl_ms=10**8) for one in changes]
        call = submit(rows, options)
        await call.script.run(client, keyspace_of(client), call.args)

    async def tick(self, number: int, chance: random.Random) -> None:
        """Let every worker claim in each shard; some claims arrive late."""
        await self.shards.home.set_time(self.clock.now_us)
        for worker in self.workers:
            if worker.is_new_epoch() and chance.random() < self.ask_chance:
                await worker.shares.ask()
        if chance.random() < START_CHANCE:
            await self._start(knows_shares=chance.random() < 0.5)
        for entry in [entry for entry in self._late if entry[0] <= number]:
            self._late.remove(entry)
            self._take(entry[2], await self.shards.clients[entry[2]].execute_command(*entry[1]))
        for worker in self.workers:
            for shard, claimer in enumerate(worker.claimers):
                await self._claim(claimer, shard, number + chance.randint(1, 60), is_late=chance.random() < 0.05)

    async def _start(self, *, knows_shares: bool) -> None:
        """Take a slot for the request for the exchange's time of a worker that starts."""
        shares = EgressShares(self.shards, self.clock, SETTINGS, PACING)
        if knows_shares:
            await shares.ask()
        parts = [(client, shares.of(number)) for number, client in enumerate(self.shards.clients)]
        reply = await EgressSlots(parts, clock=self.clock, egress=SETTINGS.egress, pacing=PACING).take()
        if reply.state == SlotState.TAKEN:
            self.starts += 1
            self.slots[0].append(self.clock.now_us + reply.wait_us)

    async def _claim(self, claimer: Claimer, shard: int, at_tick: int, *, is_late: bool) -> None:
        client = self.shards.clients[shard]
        client.next_script = "late" if is_late else ""
        try:
            claims = (await claimer.claim(100)).claims
        except RedisConnectionError:
            assert client.delayed is not None
            self._late.append((at_tick, client.delayed, shard))
            return
        self.slots[shard] += [
            self.clock.now_us + round((one.slot_at_s - self.clock.monotonic()) * 1e6) for one in claims
        ]

    def _take(self, shard: int, elements: list[bytes]) -> None:
        rows = decode(ClaimReply, elements[0]).rows
        self.slots[shard] += [self.clock.now_us + row.wait_us for row in rows]

"""An egress over four shards of a real server: its slots over all of them, while the work moves."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from producers import Priority, SettingsChange
from producers.contract.shards import shard_keyspaces
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.transport.clients import keyspace_of
from producers.transport.dsn import open_redis
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
TICK_S = 0.05
PHASE_S = 4
PHASES = 4
USERS = 600
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


@pytest.fixture
async def egress(valkey_dsn: str, clock: ManualClock) -> AsyncIterator[Egress]:
    """An egress of 100 a second, over four shards on one server that has the test's time."""
    home = open_redis(valkey_dsn, TimedRedis, timeout_s=5)
    clients = tuple(open_redis(valkey_dsn, TimedRedis, timeout_s=5, keyspace=keys) for keys in shard_keyspaces("q", 4))
    shards = Shards(home, clients)
    await home.set_time(clock.now_us)
    found = Egress(shards, clock)
    for worker in found.workers:
        await worker.open()
    yield found
    for client in shards.all():
        await client.aclose()


def check_rate(slots: list[int], most_beside: int) -> None:
    """Check all windows that begin and end with a slot."""
    for first in range(len(slots)):
        for last in range(first, len(slots)):
            allowed = (slots[last] - slots[first] + PACING.egress_burst_us) / PACING.egress_pace_us
            assert last - first + 1 <= allowed + most_beside + 1e-6


@pytest.mark.parametrize("seed", [1, 2])
async def test_shards_never_exceed_the_rate_of_their_egress_together(egress: Egress, seed: int) -> None:
    """Work moves, workers often do not know the shares, some start, and one claim in twenty comes up to 3 s late."""
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    egress.ask_chance = 0.1
    number = 0
    for _ in range(PHASES):
        for shard in chance.sample(range(SHARDS), chance.randint(1, 3)):
            await egress.enqueue(shard, 300)
        for _ in range(round(PHASE_S / TICK_S)):
            await egress.tick(number, chance)
            egress.clock.advance(TICK_S)
            number += 1

    slots = sorted(slot for shard in egress.slots for slot in shard)
    assert len(slots) > 0.4 * PHASES * PHASE_S * 100, "so little was sent that nothing was tested"
    assert egress.starts > 0
    check_rate(slots, most_beside=SHARDS)


async def test_the_rate_moves_to_the_shard_that_has_the_work(egress: Egress) -> None:
    """It gets nearly all of the rate until its work is done, and after it the next one does."""
    chance = random.Random(0)  # noqa: S311 - chance that can be repeated
    number = 0
    for shard in (0, 2):
        await egress.enqueue(shard, USERS)
        while len(egress.slots[shard]) < USERS:
            await egress.tick(number, chance)
            egress.clock.advance(TICK_S)
            number += 1
            assert number < 1000, f"shard {shard} is not drained"
        slots = sorted(egress.slots[shard])
        assert min(later - first for first, later in zip(slots, slots[270:], strict=False)) < 3_000_000


async def test_a_claim_that_comes_after_its_share_has_ended_takes_nothing(egress: Egress) -> None:
    """Its worker had more of the rate then, which others may have now. The same claim in time takes slots."""
    await egress.enqueue(0, 50)
    shares, claimer, shard = egress.workers[0].shares, egress.workers[0].claimers[0], egress.shards.clients[0]
    for _ in range(3):
        await egress.shards.home.set_time(egress.clock.now_us)
        await shares.ask()
        egress.clock.advance(1)
    await egress.shards.home.set_time(egress.clock.now_us)
    await shares.ask()
    assert len((await claimer.claim(1)).claims) == 1  # it knows the shard's clock now
    shard.next_script = "late"
    with pytest.raises(RedisConnectionError):
        await claimer.claim(100)
    assert shard.delayed is not None
    found = []
    for late_s in (0, 0.1, 3):
        egress.clock.advance(late_s)
        await egress.shards.home.set_time(egress.clock.now_us)
        elements = await shard.execute_command(*shard.delayed)
        found.append(len(decode(ClaimReply, elements[0]).rows))

    assert found[1] > 0
    assert found[2] == 0


async def test_without_its_home_a_worker_goes_on_with_the_floor(
    egress: Egress, caplog: pytest.LogCaptureFixture
) -> None:
    """The outage is logged, and a shard still sends a little."""
    shares = egress.workers[0].shares
    await shares.ask()
    egress.shards.home.next_script = "late"

    assert await shares._ask_or_fail() is None
    assert "waiting: the shares of the egress" in caplog.text
    egress.clock.advance(10)
    assert shares.of(0).pace(egress.clock.uptime()) == shares.of(0).least()


async def test_a_shard_that_may_use_more_than_at_its_last_claim_is_told(egress: Egress) -> None:
    """It may be waiting for a slot by the floor, which it used while the shares were not known."""
    shares, told = egress.workers[0].shares, []
    shares.on_more(1, lambda: told.append(egress.clock.uptime()))
    for _ in range(3):
        await egress.shards.home.set_time(egress.clock.now_us)
        await shares.ask()
        egress.clock.advance(1)
    egress.clock.advance(10)
    assert shares.of(1).pace(egress.clock.uptime()) == shares.of(1).least()
    shares._tell()
    assert told == []
    await egress.shards.home.set_time(egress.clock.now_us)
    await shares.ask()
    shares._tell()

    assert told == [egress.clock.uptime()]


async def test_a_worker_that_knows_nothing_uses_the_floor(egress: Egress) -> None:
    """As when the home is away."""
    share = egress.workers[0].shares.of(1)

    assert share.pace(egress.clock.uptime()) == share.least()
    assert share.least().pace_us == -(-PACING.egress_pace_us * 1_000_000 // egress.workers[0].shares.floor)

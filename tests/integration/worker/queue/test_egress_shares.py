"""An egress over four shards of a real server: its slots over all of them, while the work moves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from producers.contract.shards import shard_keyspaces
from producers.transport.dsn import open_redis
from producers.transport.script_messages import decode
from producers.transport.shards import Shards
from tests.support.egress_of_shards import PACING, SHARDS, Egress
from tests.support.manual_clock import ManualClock
from tests.support.timed_redis import TimedRedis
from worker.queue.claim_messages import ClaimReply
from worker.queue.egress_shares import MAX_SILENCE
from worker.queue.share_exchange import DemandReply, DemandRequest, fetch_demand

TICK_S = 0.05
PHASE_S = 4
PHASES = 4
USERS = 600


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

    assert await shares.ask_or_fail() is None
    assert "waiting: the shares of the egress" in caplog.text
    egress.clock.advance(10)
    assert shares.of(0).pace(egress.clock.uptime()) == shares.of(0).least()


async def test_a_shard_that_hangs_does_not_keep_its_share_for_ever(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said last counts for some epochs, since an answer may be late once; then others have its rate."""
    shares = egress.workers[0].shares
    hangs: set[int] = set()

    async def answer(shard: TimedRedis, request: DemandRequest) -> DemandReply:
        if shard is egress.shards.clients[0] and hangs:
            await asyncio.Event().wait()
        return await fetch_demand(shard, request)

    monkeypatch.setattr("worker.queue.egress_shares.fetch_demand", answer)
    await egress.enqueue(0, 300)
    await egress.enqueue(1, 300)
    await shares.ask()
    hangs.add(0)
    wanted = []
    for _ in range(MAX_SILENCE + 1):
        await shares.ask()
        wanted.append(shares._wanted())

    assert [each[0] > 400_000 for each in wanted] == [True] * MAX_SILENCE + [False]
    assert wanted[-1][1] > 900_000


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

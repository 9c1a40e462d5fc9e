"""The shares of an egress, as workers decide and read them in the home."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from ops.keys import KEYS
from tests.support.manual_clock import ManualClock
from worker.queue.share_exchange import KEEP_MS, SharesReply, SharesRequest, fetch_shares
from worker.queue.shares import floor_share

E_US = 1_000_000
FLOOR = floor_share(2)
FLOORS = [FLOOR, FLOOR]


class Home:
    """A home on fakeredis, whose time the test sets."""

    def __init__(self, redis: Redis, clock: ManualClock) -> None:
        self.redis = redis
        self._clock = clock
        self._clock.advance_to_us((clock.now_us // E_US + 1) * E_US)

    async def call(self, *wanted: int, epoch_us: int = E_US) -> SharesReply:
        """Ask as a worker does that wants these shares."""
        return await fetch_shares(self.redis, SharesRequest("a", epoch_us, FLOOR, list(wanted)))

    def next_epoch(self, count: int = 1) -> None:
        """Let epochs pass."""
        self._clock.advance(count * E_US / 1e6)

    async def begun(self) -> None:
        """Let the first epochs of the egress pass, in which every share is the floor."""
        await self.call(500_000, 500_000)
        self.next_epoch()


@pytest.fixture
def home(fake_redis: Redis, clock: ManualClock) -> Home:
    """The home of a queue with two shards."""
    return Home(fake_redis, clock)


async def test_an_egress_begins_with_the_floor_for_two_epochs(home: Home) -> None:
    """If the home has lost its shares, nobody can know other ones after that."""
    first = await home.call(900_000, 100_000)
    home.next_epoch()
    second = await home.call(900_000, 100_000)

    assert (first.shares, first.next_shares) == (FLOORS, FLOORS)
    assert (second.epoch, second.shares, second.next_shares) == (first.epoch + 1, FLOORS, [900_000, 100_000])


async def test_the_first_call_in_an_epoch_decides_the_next_one(home: Home) -> None:
    """All other workers use the same shares, whatever they wanted."""
    await home.begun()
    one = await home.call(900_000, 100_000)
    other = await home.call(100_000, 900_000)

    assert one.next_shares == other.next_shares == [900_000, 100_000]


async def test_what_was_decided_for_the_next_epoch_is_what_that_epoch_has(home: Home) -> None:
    """A worker that asks once in each epoch knows all of them before they begin."""
    await home.begun()
    before = await home.call(900_000, 100_000)
    home.next_epoch()
    now = await home.call(200_000, 800_000)

    assert (now.epoch, now.shares, now.next_shares) == (before.epoch + 1, before.next_shares, [200_000, 800_000])


async def test_after_epochs_without_a_worker_the_present_one_is_decided_too(home: Home) -> None:
    """Until then every worker used the floor, which is at most its share."""
    await home.begun()
    await home.call(900_000, 100_000)
    home.next_epoch(5)
    now = await home.call(300_000, 700_000)

    assert now.shares == now.next_shares == [300_000, 700_000]


@pytest.mark.parametrize("back", [2, 1000])
async def test_a_clock_that_is_set_back_leaves_the_floor_until_no_worker_knows_other_shares(
    home: Home, clock: ManualClock, back: int
) -> None:
    """What was decided for later epochs is forgotten."""
    await home.begun()
    await home.call(900_000, 100_000)
    clock.step(-back)
    replies = []
    for _ in range(4):
        replies.append(await home.call(300_000, 700_000))
        home.next_epoch()

    assert [reply.shares for reply in replies[:3]] == [FLOORS] * 3
    assert replies[2].next_shares == [300_000, 700_000]
    assert replies[3].shares == [300_000, 700_000]


async def test_a_clock_that_slips_into_the_epoch_before_changes_nothing(home: Home, clock: ManualClock) -> None:
    """The epoch that begins again has the shares that it had."""
    await home.begun()
    decided = await home.call(900_000, 100_000)
    clock.step(-0.001)
    slipped = await home.call(300_000, 700_000)
    clock.step(0.001)

    assert (slipped.epoch, slipped.shares, slipped.next_shares) == (decided.epoch - 1, FLOORS, decided.shares)
    assert await home.call(300_000, 700_000) == decided


async def test_the_longest_epoch_that_a_worker_asks_for_is_everybodys(home: Home) -> None:
    """Workers of one egress with other rates than the rest do not count other epochs."""
    await home.begun()
    await home.call(900_000, 100_000)
    longer = await home.call(900_000, 100_000, epoch_us=3 * E_US)
    shorter = await home.call(900_000, 100_000)

    assert (longer.epoch_us, longer.shares, longer.next_shares) == (3 * E_US, FLOORS, FLOORS)
    assert shorter == longer


async def test_shares_of_an_egress_that_nobody_uses_expire(home: Home) -> None:
    """They are no burden, and say nothing after an hour."""
    await home.call(900_000, 100_000)

    assert 0 < await home.redis.pttl(KEYS.egress_shares + "a") <= KEEP_MS


async def test_a_home_that_was_lost_says_the_number_of_shards_again(home: Home) -> None:
    """While workers run: a program with another number is refused there. What it says already stays."""
    await home.call(500_000, 500_000)
    assert await home.redis.get(KEYS.layout) == b"2/2"

    await home.redis.set(KEYS.layout, "2/3")
    await home.call(500_000, 500_000)
    assert await home.redis.get(KEYS.layout) == b"2/3"

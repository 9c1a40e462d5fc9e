"""What a gateway does with access keys while the home of a queue with shards is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from producers.contract.access_keys import AccessKey, Scope
from producers.errors import QueueUnavailable
from producers.gateway.calls import home
from producers.gateway.calls.known_keys import KEPT_S, KEY_CACHE_S, KnownKeys
from tests.support.manual_clock import ManualClock

KEY = AccessKey(key_id="k1", name="an app", digest="", scopes=frozenset(Scope), rate_per_s=2.0)


class StoredKeys:
    """The access keys of a home that a test takes away."""

    def __init__(self) -> None:
        self.stored = {"k1": KEY}
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def get(self, key_id: str) -> AccessKey | None:
        """Return a key."""
        await self._answer()
        return self.stored.get(key_id)

    async def find_session(self, token: str) -> str | None:
        """Return the key of a session."""
        await self._answer()
        return {"t1": "k1"}.get(token)

    async def count_call(self, _key: AccessKey) -> float:
        """Permit every call."""
        await self._answer()
        return 0.0

    async def _answer(self) -> None:
        self.asked += 1
        await self.answers.wait()
        if self.error is not None:
            raise QueueUnavailable("reading an access key") from self.error


class Rig:
    """The keys that are known to a gateway, and those of the home."""

    def __init__(self, clock: ManualClock, *, has_shards: bool = True) -> None:
        self.clock = clock
        self.at_home = StoredKeys()
        stored: Any = self.at_home
        self.known = KnownKeys(lambda: stored, has_shards=has_shards, clock=clock.monotonic)

    def take_home_away(self, error: Exception | None = None) -> None:
        """Let the home refuse connections from when its last answers are no longer fresh."""
        self.clock.advance(KEY_CACHE_S)
        self.at_home.error = error or RedisConnectionError("nobody there")


async def test_a_key_and_a_session_outlast_the_home_for_an_hour(clock: ManualClock) -> None:
    """Counted from its last answer. Those that were not known are refused."""
    rig = Rig(clock)
    await rig.known.get("k1")
    await rig.known.find_session("t1")
    rig.take_home_away()

    for _ in range(3):
        clock.advance(home.PAUSE_S)
        assert await rig.known.get("k1") is KEY
        assert await rig.known.find_session("t1") == "k1"
    with pytest.raises(QueueUnavailable):
        await rig.known.get("k2")
    clock.advance(KEPT_S - KEY_CACHE_S - 3 * home.PAUSE_S)
    with pytest.raises(QueueUnavailable):
        await rig.known.get("k1")


async def test_a_key_that_was_revoked_meanwhile_is_refused_when_the_home_is_back(clock: ManualClock) -> None:
    """Within a second of it, and for good."""
    rig = Rig(clock)
    await rig.known.get("k1")
    rig.take_home_away()
    assert await rig.known.get("k1") is KEY
    rig.at_home.error = None
    rig.at_home.stored.clear()
    clock.advance(home.PAUSE_S)

    assert await rig.known.get("k1") is None
    rig.take_home_away()
    with pytest.raises(QueueUnavailable):
        await rig.known.get("k1")


async def test_one_call_at_a_time_asks_a_home_that_is_away(clock: ManualClock) -> None:
    """A second after the last one that did: the others are served by what is known."""
    rig = Rig(clock)
    await rig.known.get("k1")
    rig.take_home_away()
    await rig.known.get("k1")
    asked = rig.at_home.asked
    assert await rig.known.get("k1") is KEY
    assert rig.at_home.asked == asked

    clock.advance(home.PAUSE_S)
    rig.at_home.answers.clear()
    waiting = asyncio.create_task(rig.known.get("k1"))
    await asyncio.sleep(0)
    assert await rig.known.get("k1") is KEY
    assert rig.at_home.asked == asked + 1
    rig.at_home.answers.set()
    assert await waiting is KEY


async def test_a_home_that_hangs_is_not_waited_for(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long calls wait for Redis by their settings."""
    monkeypatch.setattr(home, "PATIENCE_S", 0.0)
    rig = Rig(clock)
    await rig.known.get("k1")
    rig.take_home_away()
    rig.at_home.answers.clear()

    assert await rig.known.get("k1") is KEY


async def test_each_gateway_counts_the_calls_of_a_key_with_a_rate_meanwhile(clock: ManualClock) -> None:
    """A second's calls at once, then one after the other, as with the home."""
    rig = Rig(clock)
    rig.take_home_away()

    assert [await rig.known.count_call(KEY) for _ in range(3)] == [0.0, 0.0, pytest.approx(0.5)]
    clock.advance(0.5)
    assert [await rig.known.count_call(KEY) for _ in range(2)] == [0.0, pytest.approx(0.5)]


@pytest.mark.parametrize(("has_shards", "error"), [(False, None), (True, ResponseError("NOPERM no rights"))])
async def test_nothing_outlasts_a_queue_without_shards_or_a_refusal(
    clock: ManualClock, has_shards: bool, error: Exception | None
) -> None:
    """Without shards the call could do nothing; what is refused stays until it is corrected."""
    rig = Rig(clock, has_shards=has_shards)
    await rig.known.get("k1")
    rig.take_home_away(error)

    with pytest.raises(QueueUnavailable):
        await rig.known.get("k1")
    with pytest.raises(QueueUnavailable):
        await rig.known.count_call(KEY)

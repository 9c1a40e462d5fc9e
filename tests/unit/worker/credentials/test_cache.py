"""The cache of a slow source: for how long, and for how many users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.manual_clock import ManualClock
from worker.credentials.cache import TTL_S, CachedCredentials
from worker.credentials.model import Credentials
from worker.errors import CredentialsUnavailable, UnknownUser
from worker.secret import Secret


class Source:
    """A source that answers when the test says so, with keys that name the reading."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.questions: asyncio.Queue[str] = asyncio.Queue()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None
        self.answer: Callable[[str], object] = self.keys

    def keys(self, user_id: str) -> Credentials:
        """Return the keys of this reading."""
        text = Secret(f"key-{len(self.asked)}")
        return Credentials(user_id=user_id, api_key=text, secret_key=text, passphrase=text)

    async def get(self, user_id: str) -> Credentials:
        """Return a user's credentials when the test says so."""
        self.asked.append(user_id)
        self.questions.put_nowait(user_id)
        found = self.answer(user_id)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return found  # type: ignore[return-value]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(source: Source, clock: ManualClock) -> CachedCredentials:
    """A cache of two users."""
    return CachedCredentials(source, clock, max_users=2)


async def key(cache: CachedCredentials, user_id: str = "1001") -> str:
    return (await cache.get(user_id)).api_key.reveal()


async def test_a_source_is_asked_once_a_minute(cache: CachedCredentials, clock: ManualClock) -> None:
    """A changed key takes effect after a minute at the latest."""
    assert TTL_S <= 60
    assert await key(cache) == "key-1"
    clock.advance(TTL_S - 0.001)
    assert await key(cache) == "key-1"
    clock.advance(0.001)
    assert await key(cache) == "key-2"


async def test_expired_credentials_are_removed_when_any_user_is_asked_for(
    cache: CachedCredentials, clock: ManualClock
) -> None:
    """Keys of a user who has become inactive do not stay in memory."""
    await cache.get("1001")
    clock.advance(TTL_S)
    await cache.get("1002")

    assert len(cache) == 1


async def test_expired_credentials_are_removed_in_an_idle_worker(source: Source) -> None:
    """A timer removes them without another request."""
    cache = CachedCredentials(source, ttl_s=0.05)
    await cache.get("1001")
    await cache.get("1002")

    async with asyncio.timeout(30):
        while len(cache):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)

    assert cache._entries == {}


async def test_a_full_cache_drops_the_oldest_users(cache: CachedCredentials, source: Source) -> None:
    """Two fit; the third drops the one that was read first, which is later read again."""
    for user_id in ("1", "2", "3", "2", "3", "1"):
        await cache.get(user_id)

    assert source.asked == ["1", "2", "3", "1"]
    assert len(cache) == 2


async def test_concurrent_requests_for_one_user_share_one_reading(cache: CachedCredentials, source: Source) -> None:
    """A hundred requests ask the source once."""
    found = await asyncio.gather(*(key(cache) for _ in range(100)))

    assert (set(found), source.asked) == ({"key-1"}, ["1001"])


async def test_a_cancelled_request_does_not_cancel_the_shared_reading(cache: CachedCredentials, source: Source) -> None:
    """The other request that waits for it still gets its answer."""
    source.may_answer.clear()
    one, other = asyncio.create_task(key(cache)), asyncio.create_task(key(cache))
    await source.questions.get()
    one.cancel()
    await asyncio.wait([one])
    source.may_answer.set()

    assert await other == "key-1"
    assert one.cancelled()


async def test_an_invalidated_user_is_read_again(cache: CachedCredentials, source: Source) -> None:
    """Other users stay cached, and an unknown one is no error."""
    await key(cache)
    await key(cache, "1002")

    cache.invalidate("1001")
    cache.invalidate("no such user")

    assert await key(cache) == "key-3"
    assert await key(cache, "1002") == "key-2"
    assert source.asked == ["1001", "1002", "1001"]


async def test_a_reading_that_began_before_an_invalidation_is_not_kept(
    cache: CachedCredentials, source: Source
) -> None:
    """It may have the old keys, so only the request that waited already gets them."""
    source.may_answer.clear()
    before = asyncio.create_task(key(cache))
    await source.questions.get()
    cache.invalidate("1001")
    after = asyncio.create_task(key(cache))
    await source.questions.get()
    source.may_answer.set()

    assert (await before, await after, await key(cache)) == ("key-1", "key-2", "key-2")


@pytest.mark.parametrize(
    "error", [UnknownUser("1001", source="here", remedy="add it"), CredentialsUnavailable("away for a moment")]
)
async def test_a_failure_is_raised_unchanged_and_not_kept(
    cache: CachedCredentials, source: Source, error: Exception
) -> None:
    """The next request asks the source again."""
    source.error = error
    with pytest.raises(type(error), match=str(error)):
        await key(cache)
    source.error = None

    assert await key(cache) == "key-2"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (KeyError("hush"), r"failed \(KeyError\)"),
        (ConnectionRefusedError("hush"), r"failed \(ConnectionRefusedError\)"),
        (TimeoutError("hush"), "did not answer in time"),
    ],
)
async def test_an_unexpected_error_of_a_source_makes_credentials_unavailable(
    cache: CachedCredentials, source: Source, error: Exception, problem: str
) -> None:
    """The text of a foreign error may hold a token, so it is not shown."""
    source.error = error

    with pytest.raises(CredentialsUnavailable, match=problem) as caught:
        await key(cache)

    assert "hush" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("wrong", [None, "hush", "another user's"])
async def test_credentials_of_another_user_are_not_used(
    cache: CachedCredentials, source: Source, wrong: object
) -> None:
    """Otherwise a faulty source would have a change signed with the wrong keys."""
    source.answer = lambda _: source.keys("1002") if wrong == "another user's" else wrong

    with pytest.raises(CredentialsUnavailable, match="returned something other than this user's credentials"):
        await key(cache)


async def test_a_source_that_hangs_is_unavailable_for_all_waiters(source: Source) -> None:
    """It is asked again afterwards."""
    cache = CachedCredentials(source, read_timeout_s=0.05)
    source.may_answer.clear()

    found = await asyncio.gather(key(cache), key(cache), return_exceptions=True)
    source.may_answer.set()

    assert [type(each) for each in found] == [CredentialsUnavailable, CredentialsUnavailable]
    assert await key(cache) == "key-2"


async def test_a_failure_without_waiters_logs_no_warning(cache: CachedCredentials, source: Source) -> None:
    """The reading ends with its error and leaves nothing behind."""
    source.may_answer.clear()
    source.error = CredentialsUnavailable("away")
    asking = asyncio.create_task(key(cache))
    await source.questions.get()
    asking.cancel()
    await asyncio.wait([asking])
    reading = cache._reads["1001"]
    source.may_answer.set()
    await asyncio.wait([reading])

    assert (reading.cancelled(), cache._reads) == (False, {})


async def test_a_closed_cache_holds_nothing(source: Source) -> None:
    """A reading that is under way is cancelled."""
    async with CachedCredentials(source) as cache:
        await cache.get("1001")
        await source.questions.get()
        source.may_answer.clear()
        asking = asyncio.create_task(cache.get("1002"))
        await source.questions.get()

    await asyncio.wait([asking])
    assert asking.cancelled()
    assert (len(cache), cache._reads) == (0, {})

"""IDs from outside: malformed ones are rejected everywhere, and no ID reaches the keys of another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import ChangeConflict, InvalidChange, InvalidId, Producer
from producers.contract import ids, keyspace
from producers.contract.validation import MAX_BATCH_ID_CHARS, MAX_ID_CHARS
from tests.support.changes import change, setting
from tests.support.contents import contents

NOT_IDS = ["", "a" * (MAX_ID_CHARS + 1), "é", "a b", "a\n", "a\0", "\x1b[2J", 5, b"a", None]
NOT_NEW = ["batch..1001", "batch//1001", "../x", "j~~2"]
ODD = [":", "%", "%3A", "a:b", "*", "?", "[a]", "{1001}", "../x", "'", '"', "\\", "$(x)", "`x`", "a,b", "1001:settings"]
"""Printable, so they may be IDs; each means something to somebody."""


@pytest.fixture
async def producer(valkey: ArqRedis) -> AsyncIterator[Producer]:
    """A producer on a real server."""
    producer = Producer(valkey)
    yield producer
    await producer.close()


async def lanes_of(valkey: ArqRedis) -> set[str]:
    """Return the names of all lanes."""
    users = [key async for key in valkey.scan_iter(KEYS.heads + "*")]
    heads = {user.decode().removeprefix(KEYS.heads): await valkey.hkeys(user) for user in users}  # type: ignore[misc]
    return {f"{user}:{trader.decode()}" for user, traders in heads.items() for trader in traders}


@pytest.mark.parametrize("bad", [*NOT_IDS, *NOT_NEW], ids=repr)
async def test_a_malformed_job_id_is_rejected(valkey: ArqRedis, producer: Producer, bad: Any) -> None:
    """Also IDs that look like a batch's or a replayed change's."""
    if bad is not None:
        with pytest.raises(InvalidId, match=r"^job_id: "):
            await producer.enqueue(change(), job_id=bad)
    if bad not in NOT_NEW:
        with pytest.raises(InvalidId, match=r"^job_id: "):
            producer.job(bad)

    assert await valkey.dbsize() == 0


@pytest.mark.parametrize("ended", [False, True])
async def test_a_job_id_belongs_to_the_content_that_it_was_accepted_with(
    valkey: ArqRedis, producer: Producer, ended: bool
) -> None:
    """Another change under it is a conflict, queued or ended, and writes nothing; the same one is there already."""
    await producer.enqueue(change(), job_id="j")
    if ended:
        await producer.job("j").cancel()
    before = await contents(valkey)

    for other in (change(value="9"), change(user="1002"), change(trader="t9")):
        with pytest.raises(ChangeConflict, match="j"):
            await producer.enqueue(other, job_id="j")
        (refusal,) = (await producer.enqueue_many([other], job_id=lambda _: "j")).refused
        assert isinstance(refusal.error, ChangeConflict)
    assert (await producer.enqueue(change(), job_id="j")).already_there

    assert await contents(valkey) == before


@pytest.mark.parametrize("bad", NOT_IDS, ids=repr)
async def test_a_malformed_user_or_trader_is_rejected_everywhere(
    valkey: ArqRedis, producer: Producer, bad: Any
) -> None:
    """Submitting, cancelling, limiting, pausing and status included; no lane, pause or rate is written."""
    for one in (change(user=bad), change(trader=bad)):
        with pytest.raises(InvalidChange):
            await producer.enqueue(one)
    batch = await producer.fan_out(trader_id="t1", settings=[setting()], user_ids=[bad])
    assert batch.report is not None
    assert len(batch.report.refused) == 1
    for ask in (producer.cancel_user, producer.user_status):
        with pytest.raises(InvalidId):
            await ask(bad)
    with pytest.raises(InvalidId):
        await producer.limit_user(bad, 5)
    if bad is not None:
        for scope in ("user_id", "trader_id", "egress"):
            with pytest.raises(InvalidId):
                await producer.pause(**{scope: bad})

    assert await lanes_of(valkey) == set()
    assert not [key for key in await contents(valkey) if key.startswith((KEYS.paused, KEYS.rates))]


@pytest.mark.parametrize("bad", [*NOT_IDS[:-1], "a/b", "a" * (MAX_BATCH_ID_CHARS + 1)], ids=repr)
async def test_a_malformed_batch_id_is_rejected(valkey: ArqRedis, producer: Producer, bad: Any) -> None:
    """A slash separates a batch from its changes."""
    with pytest.raises(InvalidId):
        await producer.fan_out([change()], batch_id=bad)
    with pytest.raises(InvalidId):
        producer.batch(bad)

    assert await valkey.dbsize() == 0


@pytest.mark.parametrize("ambiguous", ["a..b", "a.", "..", "."])
async def test_a_new_batch_id_that_makes_job_ids_ambiguous_is_rejected(
    valkey: ArqRedis, producer: Producer, ambiguous: str
) -> None:
    """Its changes would count as those of a shorter one. The handle takes it: an earlier version may have made it."""
    with pytest.raises(InvalidId, match=r"^batch_id: must not contain '\.\.', nor end with '\.'"):
        await producer.fan_out([change()], batch_id=ambiguous)

    assert await valkey.dbsize() == 0
    assert producer.batch(ambiguous).batch_id == ambiguous


def _job_id(number: int, odd: str) -> str:
    """Return a job ID with special characters, without the mark of batches."""
    return f"{number}{odd.replace(ids.BATCH_MARK, '.')}"


@pytest.mark.parametrize("odd", ODD)
async def test_an_id_with_special_characters_reaches_only_its_own_keys(
    valkey: ArqRedis, producer: Producer, odd: str
) -> None:
    """Seven pairs of IDs that could be confused get seven lanes, and cancelling one user leaves the others."""
    ours = [(odd, "t1"), ("1001", odd), (odd, odd)]
    others = [("a", "b"), ("1001", "t1"), ("b", "t1"), ("1", "1001")]
    for number, (user, trader) in enumerate([*ours, *others]):
        await producer.enqueue(change(user, trader), job_id=_job_id(number, odd))
    assert len(await lanes_of(valkey)) == len(ours) + len(others)

    await producer.pause(user_id=odd)
    await producer.resume(user_id=odd)
    await producer.pause(trader_id=odd)
    await producer.resume(trader_id=odd)
    await producer.limit_user(odd, 5)
    assert len((await producer.user_status(odd)).lanes) == 2
    assert (await producer.cancel_user(odd)).cancelled == 2

    assert await lanes_of(valkey) == {keyspace.lane(user, trader) for user, trader in [("1001", odd), *others]}
    assert (await producer.job(_job_id(1, odd)).status()).position == 0

"""Malformed keys of lanes: put off and reported, without harm to other lanes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Priority
from producers.contract import keyspace
from producers.queue.bucket import StoredBucket
from tests.support.changes import change
from tests.support.lanes import Lanes
from worker.queue.claims import MalformedEntry

USER = "1001"
LANE = keyspace.lane(USER, "t1")
PUT_OFF_S = 60
PUT_OFF = MalformedEntry(USER, "one of its keys has a wrong Redis type: postponed", postponed=True)
NOT_A_JOB_ID = MalformedEntry(LANE, "its head is not a job ID: removed", postponed=False)


@pytest.fixture
async def lanes(redis: ArqRedis) -> Lanes:
    """Two lanes: that of user 1001, which the test damages, comes first; that of 1002 is valid."""
    lanes = Lanes(redis)
    await lanes.submit(("spoilt", change(USER)), ("sound", change("1002")))
    await redis.zadd(KEYS.schedule, {USER: 1})
    return lanes


async def overwrite(lanes: Lanes, key: str, value: bytes = b"neither a list nor a hash") -> None:
    await lanes.redis.delete(key)
    await lanes.redis.set(key, value)


async def put_before(lanes: Lanes, *entries: bytes) -> None:
    """Put entries into the lane, before its only one."""
    first, *others = [*entries, b"i spoilt"]
    count = len(others) + 1
    head = b"%d %d 0 0 %b" % (count, count, first)
    await lanes.redis.execute_command("HSET", KEYS.heads + USER, "t1", head)  # type: ignore[no-untyped-call]
    await lanes.redis.rpush(KEYS.rest + LANE, *others)  # type: ignore[misc]


@pytest.mark.parametrize("key", [KEYS.heads + USER, KEYS.lanes + USER], ids=["heads", "lanes"])
async def test_a_user_with_a_key_of_the_wrong_type_is_put_off_and_the_others_are_claimed(
    lanes: Lanes, key: str
) -> None:
    """It is reported, and tried again in a minute."""
    await overwrite(lanes, key)

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert claims.malformed == [PUT_OFF]
    due_ms = await lanes.redis.zscore(KEYS.schedule, USER)
    assert due_ms is not None
    assert due_ms - await lanes.now_ms() == pytest.approx(PUT_OFF_S * 1000, abs=5000)


async def test_a_user_with_attempts_of_the_wrong_type_is_put_off_and_the_others_are_claimed(lanes: Lanes) -> None:
    """They are read once the head was attempted."""
    spoilt, sound = await lanes.claim()
    await lanes.back(spoilt)
    await lanes.back(sound)
    await overwrite(lanes, KEYS.attempts + LANE)
    for lane in (spoilt.lane, sound.lane):
        await lanes.due_now(lane)

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert claims.malformed == [PUT_OFF]


async def test_a_user_with_a_rest_of_the_wrong_type_is_put_off_and_the_others_are_claimed(lanes: Lanes) -> None:
    """It is read if some of it may be sent with the head."""
    await lanes.submit(("behind", change(USER)), coalesce=True)
    await overwrite(lanes, KEYS.rest + LANE)

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert claims.malformed == [PUT_OFF]


@pytest.mark.parametrize("field", ["slot_number", "tat"])
async def test_a_user_with_a_malformed_number_is_put_off_and_the_others_are_claimed(lanes: Lanes, field: str) -> None:
    """Text where the slot number or the next slot should be."""
    await lanes.redis.set(KEYS.bucket_of(USER), bucket_with(lanes, field, "many"))

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert claims.malformed == [PUT_OFF]


@pytest.mark.parametrize("field", ["ring", "late"])
async def test_a_bucket_without_its_lists_counts_as_a_new_one(lanes: Lanes, field: str) -> None:
    """Text where the ring buffer or the late requests should be."""
    await lanes.redis.set(KEYS.bucket_of(USER), bucket_with(lanes, field, "many"))

    assert [claim.job_id for claim in await lanes.claim()] == ["spoilt", "sound"]


def bucket_with(lanes: Lanes, field: str, value: Any) -> bytes:
    """Return a valid bucket but for one field."""
    pacing = lanes.pacing
    whole = StoredBucket(5, pace=pacing.pace_us, per_window=pacing.per_window, window=pacing.window_us)
    values = [value if name == field else getattr(whole, name) for name in StoredBucket.__struct_fields__]
    return msgspec.msgpack.encode(values)


@pytest.mark.parametrize("packed", [b"", b"many", b"\xc1", b"\x93\x01\x02\x03", b"\xdd\xff\xff\xff\xff"], ids=repr)
async def test_a_bucket_that_cannot_be_read_counts_as_a_new_one(lanes: Lanes, packed: bytes) -> None:
    """Its user loses nothing but what was known of its last requests."""
    await lanes.redis.set(KEYS.bucket_of(USER), packed)

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["spoilt", "sound"]
    assert not (await lanes.done(claims.claims[0])).fenced


@pytest.mark.parametrize("per_window", [float("inf"), 9e39, -7, float("nan")])
async def test_a_malformed_ring_length_does_not_block_redis(lanes: Lanes, per_window: float) -> None:
    """A loop over such a length would never end and stop the server for all."""
    await lanes.redis.set(KEYS.bucket_of(USER), bucket_with(lanes, "per_window", per_window))

    claims = await lanes.claims()

    assert "sound" in [claim.job_id for claim in claims.claims]


async def test_a_repaired_lane_is_claimed_again(lanes: Lanes) -> None:
    """Once an operator has removed the bad key, the change is still there."""
    await lanes.redis.rename(KEYS.lanes + USER, "aside")
    await overwrite(lanes, KEYS.lanes + USER)
    await lanes.claims()
    await lanes.redis.rename("aside", KEYS.lanes + USER)
    await lanes.redis.zadd(KEYS.schedule, {USER: 1})

    assert [claim.job_id for claim in await lanes.claim()] == ["spoilt"]


@pytest.mark.parametrize("job_id", [b"\xff\xfe", b"", b"a b", b"x" * 129, "\u00e4".encode()], ids=repr)
async def test_a_malformed_job_id_in_a_lane_is_dropped_counted_and_reported(lanes: Lanes, job_id: bytes) -> None:
    """There is no name under which its result could be written. The change behind it has its turn."""
    await put_before(lanes, b"i " + job_id)

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["spoilt", "sound"]
    assert claims.malformed == [NOT_A_JOB_ID]
    assert await lanes.redis.hget(KEYS.counts, "unreadable") == b"1"  # type: ignore[misc]
    for claim in claims.claims:
        await lanes.done(claim)
    assert await lanes.queued(LANE) == []
    assert await lanes.uncovered() == set()


@pytest.mark.parametrize("name", [b"\xff", b"", b"a b", b"\n"], ids=repr)
async def test_a_malformed_user_leaves_the_schedule_and_is_reported(lanes: Lanes, name: bytes) -> None:
    """Its bytes are shown escaped."""
    await lanes.redis.zadd(KEYS.schedule, {name: 0.5})

    claims = await lanes.claims()

    assert {claim.job_id for claim in claims.claims} == {"spoilt", "sound"}
    shown = "".join(chr(byte) if chr(byte).isalpha() and byte < 128 else f"\\x{byte:02x}" for byte in name)
    assert claims.malformed == [MalformedEntry(shown, "not a user: removed from the schedule", postponed=False)]
    assert await lanes.redis.zscore(KEYS.schedule, name) is None


@pytest.mark.parametrize("trader", [b"\xff", b"", b"a b", b"\n"], ids=repr)
async def test_a_malformed_trader_leaves_the_lanes_of_its_user_and_is_reported(lanes: Lanes, trader: bytes) -> None:
    """The user's other lane has the turn."""
    await lanes.redis.zadd(KEYS.lanes + USER, {trader: 0.5})

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["spoilt", "sound"]
    assert [each.done for each in claims.malformed] == ["not a lane name: removed"]
    assert await lanes.redis.zscore(KEYS.lanes + USER, trader) is None


async def test_a_trader_without_a_lane_leaves_the_lanes_of_its_user(lanes: Lanes) -> None:
    """There is nothing to report."""
    await lanes.redis.zadd(KEYS.lanes + USER, {"nothing": 0.5})

    claims = await lanes.claims()

    assert ([claim.job_id for claim in claims.claims], claims.malformed) == (["spoilt", "sound"], [])
    assert await lanes.uncovered() == set()


async def test_a_lane_of_malformed_job_ids_empties_and_leaves_the_schedule(lanes: Lanes) -> None:
    """IDs with spaces; what cannot be a job is removed."""
    await put_before(lanes, b"i a b", b"i c d")
    await lanes.redis.rpop(KEYS.rest + LANE)  # type: ignore[misc]
    await lanes.redis.rpush(KEYS.rest + LANE, b"i e f")  # type: ignore[misc]

    for _ in range(4):
        await lanes.claims()

    assert await lanes.due_ms(LANE) is None
    assert await lanes.ready_ms(LANE) is None
    assert await lanes.queued(LANE) == []
    assert await lanes.uncovered() == set()


async def test_malformed_users_do_not_count_as_interactive_claims(lanes: Lanes) -> None:
    """Else each of them would bring a lane of bulk forward."""
    await lanes.redis.zadd(KEYS.schedule, {f"no user {n}": 0 for n in range(20)})
    await lanes.submit(("bulk", change("1003")), priority=Priority.BULK)

    assert [claim.job_id for claim in await lanes.claim()] == ["spoilt", "sound", "bulk"]

"""Malformed keys of lanes: put off and reported, without harm to other lanes."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Priority
from producers.contract import keyspace
from tests.support.changes import change
from tests.support.lanes import Lanes
from worker.queue.claims import MalformedLane

LANE = keyspace.lane("1001", "t1")
PUT_OFF_S = 60
PUT_OFF = MalformedLane(LANE, "one of its keys has a wrong Redis type: postponed", postponed=True)


@pytest.fixture
async def lanes(redis: ArqRedis) -> Lanes:
    """Two lanes: that of user 1001, which the test damages, comes first; that of 1002 is valid."""
    lanes = Lanes(redis)
    await lanes.submit(("spoilt", change("1001")), ("sound", change("1002")))
    await redis.zadd(KEYS.schedule, {LANE: 1})
    return lanes


@pytest.mark.parametrize(
    "key", [KEYS.lane + LANE, KEYS.head + LANE, KEYS.bucket_of(LANE)], ids=["lane", "head", "bucket"]
)
async def test_a_lane_with_a_key_of_the_wrong_type_is_put_off_and_the_others_are_claimed(
    lanes: Lanes, key: str
) -> None:
    """It is reported, and tried again in a minute."""
    await lanes.redis.delete(key)
    await lanes.redis.set(key, "neither a list nor a hash")

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert claims.malformed == [PUT_OFF]
    due_ms = await lanes.due_ms(LANE)
    assert due_ms is not None
    assert due_ms - await lanes.now_ms() == pytest.approx(PUT_OFF_S * 1000, abs=5000)


@pytest.mark.parametrize(
    ("key", "field"),
    [(KEYS.bucket_of(LANE), "n"), (KEYS.bucket_of(LANE), "tat"), (KEYS.head + LANE, "lapses")],
    ids=["slot number", "next slot", "lapses"],
)
async def test_a_lane_with_a_malformed_number_is_put_off_and_the_others_are_claimed(
    lanes: Lanes, key: str, field: str
) -> None:
    """Text where the slot number, the next slot or the lapses should be."""
    await lanes.redis.hset(key, mapping={"token": "t", field: "many"})  # type: ignore[misc]

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert claims.malformed == [PUT_OFF]


@pytest.mark.parametrize("ring", ["1e999", "9e39", "-7", "nan"])
async def test_a_malformed_ring_length_does_not_block_redis(lanes: Lanes, ring: str) -> None:
    """A loop over such a length would never end and stop the server for all."""
    await lanes.redis.hset(KEYS.bucket_of(LANE), "ring", ring)  # type: ignore[misc]

    claims = await lanes.claims()

    assert "sound" in [claim.job_id for claim in claims.claims]


async def test_a_repaired_lane_is_claimed_again(lanes: Lanes) -> None:
    """Once an operator has deleted the bad key, the change is still there."""
    await lanes.redis.set(KEYS.head + LANE, "no hash")
    await lanes.claims()
    await lanes.redis.delete(KEYS.head + LANE)
    await lanes.redis.zadd(KEYS.schedule, {LANE: 1})

    assert [claim.job_id for claim in await lanes.claim()] == ["spoilt"]


@pytest.mark.parametrize("entry", [b"\xff\xfe", b"", b"a b", b"x" * 129, "\u00e4".encode()], ids=repr)
async def test_a_malformed_job_id_in_a_lane_is_dropped_counted_and_reported(lanes: Lanes, entry: bytes) -> None:
    """There is no name under which its result could be written."""
    await lanes.redis.lpush(KEYS.lane + LANE, entry)  # type: ignore[misc]

    claims = await lanes.claims()

    assert [claim.job_id for claim in claims.claims] == ["sound"]
    assert [(each.lane, "not a job ID" in each.done) for each in claims.malformed] == [(LANE, True)]
    assert await lanes.redis.hget(KEYS.counts, "unreadable") == b"1"  # type: ignore[misc]
    assert [claim.job_id for claim in await lanes.claim()] == ["spoilt"]


@pytest.mark.parametrize("name", [b"\xff:t1", b"", b"a b:t1", b"\n"], ids=repr)
async def test_a_malformed_lane_name_leaves_the_schedule_and_is_reported(lanes: Lanes, name: bytes) -> None:
    """Its bytes are shown escaped."""
    await lanes.redis.execute_command("RPUSH", KEYS.lane.encode() + name, "j9")  # type: ignore[no-untyped-call]
    await lanes.redis.zadd(KEYS.schedule, {name: 0.5})

    claims = await lanes.claims()

    assert {claim.job_id for claim in claims.claims} == {"spoilt", "sound"}
    assert [each.lane for each in claims.malformed] == [name.decode(errors="backslashreplace")]
    assert await lanes.redis.zscore(KEYS.schedule, name) is None


async def test_a_lane_of_malformed_job_ids_empties_and_leaves_the_schedule(lanes: Lanes) -> None:
    """IDs with spaces; each claim removes what cannot be a job."""
    await lanes.redis.delete(KEYS.lane + LANE)
    await lanes.redis.rpush(KEYS.lane + LANE, "a b", "c d", "e f")  # type: ignore[misc]

    for _ in range(4):
        await lanes.claims()

    assert await lanes.due_ms(LANE) is None
    assert await lanes.uncovered() == set()


async def test_malformed_lanes_do_not_count_as_interactive_claims(lanes: Lanes) -> None:
    """Else each of them would bring a lane of bulk forward."""
    await lanes.redis.zadd(KEYS.schedule, {f"no lane {n}": 0 for n in range(20)})
    await lanes.submit(("bulk", change("1003")), priority=Priority.BULK)

    assert [claim.job_id for claim in await lanes.claim()] == ["spoilt", "sound", "bulk"]

"""Malformed payloads and histories in Redis: they end rejected or are put off, and never stop a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Outcome
from producers.contract import keyspace
from producers.contract.codec import MAX_PAYLOAD_BYTES, encode_change
from producers.contract.messages import CONTRACT_VERSION
from tests.support.changes import TRADER, change
from tests.support.lanes import Lanes
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on

pytestmark = ARQ_CLOSES_OLD_STYLE

LANE = keyspace.lane("1001", TRADER)
SOUND = encode_change(change(), enqueued_at_ms=1_000, ttl_ms=10**15)


def spoilt(**changed: Any) -> bytes:
    """Return a valid payload with some top-level fields changed."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(SOUND) | changed)


def with_setting(**changed: Any) -> bytes:
    """Return a valid payload with some fields of its setting changed, in wire names."""
    wire = msgspec.to_builtins(change())
    wire["settings"][0] |= changed
    return spoilt(a=[wire])


PAYLOADS = {
    "truncated": (SOUND[:-7], "not a stored change"),
    "empty": (b"", "absent, not a string, or above"),
    "pickle": (b"\x80\x04cos\nsystem\n", "not a stored change"),
    "a number": (b"\x07", "not a stored change"),
    "nested deeply": (b"\x93" * 60_000, "not a stored change"),
    "too large": (b"x" * (MAX_PAYLOAD_BYTES + 1), f"above {MAX_PAYLOAD_BYTES} bytes"),
    "unknown function": (spoilt(f="os.system"), "unknown function 'os.system'"),
    "newer version": (spoilt(k={"v": CONTRACT_VERSION + 1, "ttlMs": 1}), "update the worker"),
    "wrong time": (spoilt(et=-1.5), "not a stored change"),
    "unknown enumeration": (with_setting(traceType="ratio"), "ratio"),
    "rule broken": (with_setting(traceValue="1e9"), r"settings\[0\]\.traceValue"),
    "no settings": (spoilt(a=[{"userId": "1001", "traderId": "t1", "settings": []}]), "settings: must be a list"),
}


@pytest.mark.parametrize(("payload", "message"), PAYLOADS.values(), ids=PAYLOADS.keys())
async def test_a_malformed_payload_ends_rejected_and_the_lane_goes_on(
    valkey: ArqRedis, tmp_path: Path, payload: bytes, message: str
) -> None:
    """Nothing of it is sent; the message says why."""
    async with rig_on(valkey, tmp_path) as rig:
        malformed = await rig.producer.enqueue(change(value="1"))
        following = await rig.producer.enqueue(change(value="2"))
        await valkey.set(KEYS.job + malformed.job_id, payload)

        worker = await rig.drain()

        result = await malformed.result(timeout=0)
        assert (result.outcome, result.attempts) == (Outcome.REJECTED, [])
        assert result.message.startswith("not sent: ")
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(result.message)
        assert (await following.result(timeout=0)).applied
        assert rig.values_seen() == ["2"]
        assert not await valkey.exists(KEYS.job + malformed.job_id)
        assert worker.jobs_failed == 0


async def test_a_change_whose_payload_is_absent_ends_rejected(valkey: ArqRedis, tmp_path: Path) -> None:
    """As after an eviction: waiters get a result."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await rig.producer.enqueue(change())
        await valkey.delete(KEYS.job + job.job_id)

        await rig.drain()

        result = await job.result(timeout=0)
        assert (result.outcome, result.user_id) == (Outcome.REJECTED, "")


@pytest.mark.parametrize("prefix", [KEYS.lanes, KEYS.heads], ids=["lanes", "heads"])
async def test_a_user_whose_keys_are_of_the_wrong_type_is_put_off_and_others_are_served(
    valkey: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    """It is logged once, however often it is tried."""
    async with rig_on(valkey, tmp_path) as rig:
        await rig.producer.enqueue(change())
        await valkey.delete(prefix + "1001")
        await valkey.set(prefix + "1001", "no sorted set and no hash")

        async with rig.working():
            assert (await (await rig.producer.enqueue(change("1002"))).result()).applied
            await valkey.zadd(KEYS.schedule, {"1001": 1})
            assert (await (await rig.producer.enqueue(change("1002"))).result()).applied

        assert rig.values_seen() == []
        records = [
            record for record in caplog.records if record.levelname == "ERROR" and "lane 1001:" in record.message
        ]
        assert len(records) == 1


@pytest.mark.parametrize(
    "state",
    [b"", b"\xc1", b"x" * 10_000, msgspec.msgpack.encode({"attempts": 7})],
    ids=["empty", "no msgpack", "text", "wrong type"],
)
async def test_a_malformed_history_counts_as_none(valkey: ArqRedis, tmp_path: Path, state: bytes) -> None:
    """The change is applied and starts at its first try."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await rig.producer.enqueue(change())
        lanes = Lanes(valkey)
        await lanes.back(await lanes.claim_one(), replied=False)
        assert await valkey.hset(KEYS.attempts + LANE, "history", state) == 0  # type: ignore[misc,arg-type]

        await rig.drain()

        result = await job.result(timeout=0)
        assert (result.outcome, result.tries) == (Outcome.APPLIED, 1)


async def test_a_change_that_five_workers_in_a_row_lost_ends_exhausted(valkey: ArqRedis, tmp_path: Path) -> None:
    """It may be what kills them, so it is not sent again."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await rig.producer.enqueue(change())
        lanes = Lanes(valkey)
        await lanes.back(await lanes.claim_one(), replied=False)
        await valkey.hset(KEYS.attempts + LANE, "lost_deliveries", "5")  # type: ignore[misc]

        await rig.drain()

        result = await job.result(timeout=0)
        assert result.outcome is Outcome.EXHAUSTED
        assert result.message.startswith("poison: 5 workers")
        assert rig.values_seen() == []


async def test_a_change_whose_user_is_not_its_lane_s_is_not_sent(valkey: ArqRedis, tmp_path: Path) -> None:
    """It would be counted in the wrong bucket and signed with other keys."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await rig.producer.enqueue(change("1001"))
        await valkey.set(KEYS.job + job.job_id, encode_change(change("1002"), enqueued_at_ms=1_000, ttl_ms=10**15))

        await rig.drain()

        assert (await job.result(timeout=0)).outcome is Outcome.REJECTED
        assert rig.values_seen("1002") == []

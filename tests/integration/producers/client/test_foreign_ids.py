"""IDs of jobs of other arq apps, which have the same key prefixes in the same database."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from arq.jobs import serialize_job, serialize_result

from ops.keys import KEYS
from producers import InvalidId, JobNotFound, JobState, Producer
from tests.support.arq_app import as_arq_app
from tests.support.changes import change
from tests.support.contents import contents
from tests.support.lanes import Lanes

ID = "user-1001"


def _job(serializer: Any) -> bytes:
    return serialize_job("send_mail", ("hello",), {}, None, 1_000, serializer=serializer)


def _result(serializer: Any) -> bytes:
    stored = serialize_result(
        "send_mail", ("hello",), {}, 1, 1_000, True, "sent", 1_000, 2_000, ID, "q", ID, serializer=serializer
    )
    assert stored is not None
    return stored


FOREIGN = {
    f"{kind} in {encoding}": (prefix + ID, make(serializer))
    for kind, prefix, make in (("job", KEYS.job, _job), ("result", KEYS.result, _result))
    for encoding, serializer in (
        ("pickle", pickle.dumps),
        ("msgpack", msgspec.msgpack.encode),
        ("JSON", msgspec.json.encode),
    )
}
"""What another app has stored under the ID: a key and its value."""


@pytest.mark.parametrize(("key", "stored"), FOREIGN.values(), ids=FOREIGN.keys())
async def test_a_change_with_the_id_of_another_app_s_job_is_refused(
    producer: Producer, redis: ArqRedis, key: str, stored: bytes
) -> None:
    """It is not reported as accepted before; of many, only that one is refused; the other app's key is as it was."""
    await redis.set(key, stored)

    with pytest.raises(InvalidId, match=r"^job_id: is in use for a control job, or for another arq app's job"):
        await producer.enqueue(change(), job_id=ID)
    written = await contents(redis)
    assert (written.pop(key), set(written)) == (("string", stored, False), {KEYS.layout})
    report = await producer.enqueue_many([change("1"), change(ID)], job_id=lambda change: change.user_id)

    assert [job.job_id for job in report.jobs] == ["1"]
    (refusal,) = report.refused
    assert (refusal.index, type(refusal.error)) == (1, InvalidId)
    assert await redis.get(key) == stored


@pytest.mark.parametrize(("key", "stored"), FOREIGN.values(), ids=FOREIGN.keys())
async def test_another_app_s_job_is_not_found_and_the_reason_says_whose_it_is(
    producer: Producer, redis: ArqRedis, key: str, stored: bytes
) -> None:
    """Status, result and cancelling alike; nothing is unpickled, and nothing is waited for."""
    await redis.set(key, stored)
    job = producer.job(ID)

    for ask in (job.status, job.result, job.cancel):
        with pytest.raises(JobNotFound, match=f"^no change {ID}: the ID is that of another arq app's job"):
            await ask()

    assert await contents(redis) == {key: ("string", stored, False)}


@pytest.mark.parametrize("prefix", [KEYS.job, KEYS.result])
async def test_a_control_job_is_named_as_such_with_the_id_of_its_change(
    producer: Producer, redis: ArqRedis, prefix: str
) -> None:
    """Whether it waits or has its result, which arq writes; the same ID is easily mistaken for the change's."""
    app = as_arq_app(redis)
    await app.enqueue_job("submit", msgspec.to_builtins(change()), _job_id=ID)
    await redis.rename(KEYS.job + ID, prefix + ID)  # a result has the job's fields, and more
    job = producer.job(ID)

    for ask in (job.status, job.result, job.cancel):
        with pytest.raises(JobNotFound, match=rf"^no change {ID}: the ID is that of a control job; .* {ID}\.change$"):
            await ask()


async def test_a_fan_out_overwrites_no_job_of_another_app(producer: Producer, lanes: Lanes) -> None:
    """The change that would have its ID is refused; the others are accepted, and the batch is sealed without it."""
    key, theirs = KEYS.job + "b..1001", _job(pickle.dumps)
    await lanes.redis.set(key, theirs)

    template = change()
    batch = await producer.fan_out(
        trader_id=template.trader_id, settings=template.settings, user_ids=["1001", "1002"], batch_id="b"
    )

    assert batch.report is not None
    assert [type(refusal.error) for refusal in batch.report.refused] == [InvalidId]
    progress = await batch.progress()
    assert (progress.total, progress.sealed) == (1, True)
    assert await lanes.redis.get(key) == theirs


async def test_a_change_whose_payload_another_encoder_wrote_is_ours(producer: Producer, redis: ArqRedis) -> None:
    """Its fields may be in any order, with the function after the change."""
    await producer.enqueue(change(), job_id=ID)
    payload = msgspec.msgpack.decode(await redis.get(KEYS.job + ID))
    await redis.set(KEYS.job + ID, msgspec.msgpack.encode(dict(sorted(payload.items()))))
    job = await producer.enqueue(change(), job_id=ID)

    assert job.already_there
    assert (await job.status()).state is JobState.QUEUED
    with pytest.raises(TimeoutError):
        await job.result(timeout=0)

"""Stored results, as an app that has only arq reads them."""

from __future__ import annotations

from arq.connections import ArqRedis
from arq.jobs import Job

from ops.keys import KEYS
from producers.contract.codec import deserialize, encode_result
from tests.support.changes import result


async def test_arqs_own_job_handle_reads_a_result(redis: ArqRedis) -> None:
    """`Job(id).result_info()`, for an app that has only arq."""
    await redis.set(KEYS.result + "j1", encode_result(result("j1")))
    job = Job("j1", redis, _deserializer=deserialize)

    info = await job.result_info()

    assert info is not None
    assert info.result["jobId"] == "j1"
    assert (await job.result())["outcome"] == "applied"

"""A worker of a queue whose keys have a tag: what it does without arq's queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.cron import cron

from producers.contract.keyspace import CONTROL_QUEUE, Keyspace
from producers.errors import SettingsError
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process.clients import given_client
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE

KEYS = Keyspace("{two}")


@pytest.fixture
async def tagged(valkey_dsn: str) -> Any:
    """A client of the queue "two" on a single server."""
    async with open_redis(valkey_dsn, ArqRedis, timeout_s=5, keyspace="two") as client:
        yield client


async def test_changes_and_cron_jobs_are_served_and_arq_s_queue_is_not(
    tagged: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A burst worker ends although a job waits in arq's queue, which stays there; one line says so."""
    caplog.set_level("INFO")
    ticks: list[str] = []

    async def tick(ctx: dict[str, Any]) -> None:
        ticks.append(ctx["job_id"])

    await tagged.enqueue_job("submit", _job_id="control", _queue_name=CONTROL_QUEUE)
    async with rig_on(tagged, tmp_path) as rig:
        job = await rig.producer.enqueue(change())
        await rig.drain(cron_jobs=[cron(tick, name="tick", run_at_startup=True)])

        assert (await job.result(timeout=0)).applied
    assert len(ticks) == 1
    assert await tagged.zcard(CONTROL_QUEUE) == 1
    (said,) = [record for record in caplog.records if record.name == "worker.process.control_queue"]
    assert said.levelname == "INFO"
    assert "the tag {two}: submit and seal_batch by arq are not run; cron jobs are" in said.message


async def test_presence_and_health_are_announced_under_the_tag(tagged: ArqRedis, tmp_path: Path) -> None:
    """No key is outside of it, and a stop takes both away."""
    async with rig_on(tagged, tmp_path) as rig:
        async with rig.working():
            await (await rig.producer.enqueue(change())).result(timeout=20)
            overview = await rig.producer.overview()
            health = await tagged.get(KEYS.queue + ":health-check")
            found = [key.decode() async for key in tagged.scan_iter("*")]
        assert await tagged.exists(KEYS.queue + ":health-check", KEYS.workers) == 0

    assert len(overview.workers) == 1
    assert b"j_ongoing=" in (health or b"")
    assert [key for key in found if not key.startswith("{two}:")] == []


async def test_a_queue_of_arq_s_that_is_named_is_warned_of(
    tagged: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no effect."""
    async with rig_on(tagged, tmp_path) as rig:
        await rig.drain(queue="jobs")

    (said,) = [record for record in caplog.records if record.name == "worker.process.control_queue"]
    assert said.levelname == "WARNING"
    assert said.message == "COPYTRADE_QUEUE=jobs has no effect: arq's queue is not served"


def test_a_client_of_another_queue_than_the_settings_name_is_refused() -> None:
    """Else the worker would serve other keys than its settings say."""
    dsn = "redis://localhost:1"
    without, other, right = (open_redis(dsn, ArqRedis, timeout_s=1, keyspace=name) for name in (None, "twofold", "two"))

    for client, found in ((without, "its keys have no tag"), (other, "its keys have the tag {twofold}")):
        with pytest.raises(SettingsError, match=rf"^COPYTRADE_KEYSPACE: .*{found}, and the settings name .*'two'"):
            given_client(client, WorkerSettings(keyspace="two"))
    with pytest.raises(SettingsError, match=r"^COPYTRADE_SHARDS: 3 shards need as many clients"):
        given_client(right, WorkerSettings(keyspace="two", shards=3))
    assert given_client(right, WorkerSettings(keyspace="two")).home is right

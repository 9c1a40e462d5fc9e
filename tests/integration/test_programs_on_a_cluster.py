"""What people and programs use, on a Redis Cluster: a worker, the command line, the gateway with its console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.cron import cron

from ops.redis_cluster import ClusterSetup, redis_cluster
from producers import Outcome, Producer, ProducerSettings
from producers.contract.access_keys import Scope
from producers.contract.keyspace import Keyspace
from producers.monitor import doctor
from producers.monitor.checks import CheckStatus
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.clusters import SLOT, empty, owner
from tests.support.console import HOST, sign_in
from tests.support.copytrade import FLAGS, Copytrade
from tests.support.gateway import access_key, bearer, body, gateway_on
from tests.support.producer_calls import call_everything, fail_and_replay
from tests.support.sealed_keys import LINES, OLD, keys, stored
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, Rig, rig_on

pytestmark = ARQ_CLOSES_OLD_STYLE

WITHIN_S = 60.0
KEYS = Keyspace("{copytrade}")
NOT_SUPPORTED = {"cluster": CheckStatus.WARN}
"""The nodes have no replicas, which makes the cluster quick to form."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """Three primaries."""
    with redis_cluster(tmp_path_factory.mktemp("cluster"), with_replicas=False) as running:
        yield running


@pytest.fixture
def cluster(running: ClusterSetup) -> ClusterSetup:
    """The same, empty."""
    empty(running)
    return running


@pytest.fixture
async def redis(cluster: ClusterSetup) -> AsyncIterator[ArqRedis]:
    """A client of it."""
    async with open_redis(cluster.dsn, ArqRedis, timeout_s=5) as client:
        yield client


@pytest.fixture
async def rig(redis: ArqRedis, tmp_path: Path) -> AsyncIterator[Rig]:
    """A worker's settings, and an exchange double."""
    async with rig_on(redis, tmp_path) as rig:
        yield rig


def keys_on(cluster: ClusterSetup) -> dict[int, set[bytes]]:
    """Return the keys on each node that has any, by its port."""
    found = {node.port: set(cluster.command(node, "KEYS", "*")) for node in cluster.nodes}
    return {port: keys for port, keys in found.items() if keys}


async def test_all_that_is_asked_of_a_queue_is_done_in_one_slot(cluster: ClusterSetup, rig: Rig) -> None:
    """By producers of both kinds, a worker, a cron job and the doctors; no key is outside of the slot."""
    ticks: list[str] = []

    async def tick(ctx: dict[str, Any]) -> None:
        ticks.append(ctx["job_id"])

    def plainly() -> None:
        with PlainProducer.connect(cluster.dsn) as plain:
            assert plain.enqueue(change("1002")).result(timeout=20).applied
            batch = plain.fan_out([change("1001"), change("1002")], batch_id="august")
            assert batch.wait(timeout=20).complete
            assert len(list(batch.results())) == 2

    async with asyncio.timeout(WITHIN_S), rig.working(cron_jobs=[cron(tick, run_at_startup=True)]):
        async with Producer.connect(cluster.dsn) as producer:
            await call_everything(producer)
            await fail_and_replay(producer)
        await asyncio.to_thread(plainly)
        checks = await doctor.diagnose(ProducerSettings(redis_dsn=cluster.dsn))
        found = await asyncio.to_thread(keys_on, cluster)

    assert len(ticks) == 1
    assert {check.name: check.status for check in checks if check.status is not CheckStatus.OK} == NOT_SUPPORTED
    (detail,) = [check.detail for check in checks if check.name == "cluster"]
    assert detail == (
        f"{{copytrade}} (slot {SLOT}) on 127.0.0.1:{owner(cluster).port}, with 0 replicas; the cluster has 3 primaries"
    )
    (keys,) = found.values()
    assert [key for key in keys if not key.startswith(b"{copytrade}:")] == []
    assert {KEYS.queue.encode() + b":health-check", KEYS.workers.encode()} <= keys


def test_people_work_on_a_cluster_with_the_command_line(
    cluster: ClusterSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes, fan-outs, pauses, limits, dead letters, the overview, keys, and all that is kept of a user."""
    monkeypatch.setenv("COPYTRADE_CREDENTIALS_KEYS", OLD)
    copytrade = Copytrade(cluster.dsn)
    followers = tmp_path / "followers.csv"
    followers.write_text("user_id\n1001\n1002\n", encoding="utf-8")

    copytrade.enqueue("1003")
    copytrade.end_all({"1003": Outcome.REJECTED})
    copytrade("fan-out", str(followers), "--batch-id", "july", "--no-wait", *FLAGS)
    copytrade("pause", "--user", "1001")
    copytrade("user", "limit", "1002", "5")
    copytrade("credentials", "set", "1001", stdin=LINES)
    copytrade("gateway-keys", "add", "orders", "--scope", "read")

    assert copytrade.json("status", "july..1001")["state"] == "queued"
    assert copytrade.json("batch", "show", "july")["total"] == 2
    assert copytrade.json("top", "--once")["bulk"]["users"] == 2
    assert [letter["userId"] for letter in copytrade.json_lines("dead", "list")] == ["1003"]
    assert copytrade.json("doctor", status=1)["status"] == "fail"  # there is no worker
    assert stored(copytrade) == keys()
    assert copytrade.json("user", "forget", "1001", "--yes")["cancelled"] == 1
    (found,) = keys_on(cluster).values()
    assert [key for key in found if not key.startswith(b"{copytrade}:")] == []


def test_a_cluster_that_is_named_as_a_single_server_is_a_wrong_setting(cluster: ClusterSetup) -> None:
    """Whichever node is named, and whether it is told that the key, or a script's other keys, are elsewhere."""
    for node in cluster.nodes:
        copytrade = Copytrade(node.dsn)
        for words in (("paused",), ("enqueue", "--user", "1001", *FLAGS), ("serve",)):
            said = copytrade.error(*words, status=2)
            assert "this Redis is in cluster mode" in said
            assert "repeat" not in said
    assert keys_on(cluster) == {}


async def test_the_gateway_serves_a_cluster(cluster: ClusterSetup, redis: ArqRedis, rig: Rig) -> None:
    """Changes, fan-outs, the overview and metrics, with access keys that are in the cluster too."""
    key = await access_key(redis, Scope.READ, Scope.ENQUEUE)
    fan_out = {"traderId": "t2", "settings": body()["settings"], "userIds": ["1001", "1002"], "batchId": "july"}
    async with asyncio.timeout(WITHIN_S), rig.working(), gateway_on(cluster.dsn, auth=True) as gateway:
        gateway.headers.update(bearer(key))
        accepted = await gateway.post("/v1/changes", json=body(), headers={"Prefer": "wait=20"})
        fanned_out = await gateway.post("/v1/batches", json=fan_out)
        await rig.producer.batch("july").wait(timeout=20)
        overview = await gateway.get("/v1/overview")
        metrics = await gateway.get("/metrics")

    assert accepted.json()["result"]["outcome"] == "applied", accepted.text
    assert fanned_out.json()["accepted"] == 2
    assert len(overview.json()["workers"]) == 1
    assert 'outcome="applied"} 3.0' in metrics.text


async def test_the_console_shows_a_cluster(cluster: ClusterSetup, redis: ArqRedis, rig: Rig) -> None:
    """After signing in: its overview, a user, the batches and the workers."""
    async with asyncio.timeout(WITHIN_S), rig.working(), gateway_on(cluster.dsn, auth=True) as browser:
        browser.headers.update({"Accept": "text/html", "Host": HOST})
        await sign_in(browser, redis, Scope.READ)
        await (await rig.producer.enqueue(change())).result(timeout=20)
        pages = [await browser.get(path) for path in ("/", "/user?id=1001", "/batches", "/workers")]

    assert [page.status_code for page in pages] == [200] * 4
    assert "1001" in pages[1].text

"""The ACL users of ops/redis.acl: all that is done here runs under them, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from ops.keys import KEYS
from producers import Producer, ProducerSettings, QueueUnavailable
from producers.contract.codec import deserialize, serialize
from producers.contract.keyspace import CONTROL_QUEUE, Keyspace
from producers.contract.shards import shard_keyspaces
from producers.monitor import doctor
from producers.monitor.checks import CheckStatus
from producers.sync import Producer as PlainProducer
from producers.transport.explanations import ACL_REFUSAL
from tests.support.acl_servers import Server, serving
from tests.support.changes import change
from tests.support.producer_calls import call_everything, fail_and_replay
from tests.support.stored_queue import StoredQueue
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.credentials.key_ring import new_entry
from worker.credentials.sealed_records import SealedRecords
from worker.process import doctor as worker_doctor
from worker.process.lane_worker import LaneWorker
from worker.secret import Secret

pytestmark = ARQ_CLOSES_OLD_STYLE


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Server]:
    """A single server."""
    with serving(tmp_path / "redis", in_cluster=False) as server:
        yield server


@pytest.fixture(params=["single", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A single server, and the only node of a cluster."""
    with serving(tmp_path / "redis", in_cluster=request.param == "cluster") as server:
        yield server


@pytest.fixture
async def operator(server: Server) -> AsyncIterator[ArqRedis]:
    """May do everything."""
    client = server.client("operator")
    yield client
    await client.aclose()


async def refused(operator: Redis) -> list[Any]:
    """What users asked for and may not do."""
    return [(entry["username"], entry["reason"], entry["object"]) for entry in await operator.acl_log()]


@pytest.mark.parametrize("shards", [1, 3])
async def test_all_that_is_done_runs_under_the_narrow_users(
    server: Server, operator: ArqRedis, tmp_path: Path, shards: int
) -> None:
    """Producers of both kinds, control jobs, the worker, the doctor; the server logs no refusal. With shards, too."""
    settings = ProducerSettings(redis_dsn=server.dsn("producer"), shards=shards)
    async with rig_on(operator, tmp_path) as rig:
        worker = LaneWorker(rig.settings(redis_dsn=server.dsn("worker"), shards=shards), handle_signals=False)
        running = asyncio.create_task(worker.async_run())
        try:
            async with asyncio.timeout(60), Producer.connect(settings=settings) as producer:
                await call_everything(producer)
                await fail_and_replay(producer)
                if not server.in_cluster and shards == 1:
                    await _control_job(server.client("producer"))
                await asyncio.to_thread(_work_plainly, settings)
                checks = await doctor.diagnose(settings)
        finally:
            await worker.close()
            await asyncio.gather(running, return_exceptions=True)

    found = {check.name for check in checks if check.status is not CheckStatus.OK}
    assert found == ({"cluster"} if server.in_cluster else set()), checks  # which has no replica
    assert await refused(operator) == []


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("producer", "not checked: this Redis user may not read them"),
        ("worker", "readable, of 1 user; 1 entry cannot be used"),
    ],
)
async def test_the_doctor_asks_for_nothing_that_is_refused(
    server: Server, operator: ArqRedis, tmp_path: Path, user: str, found: str
) -> None:
    """It learns beforehand what its user may do, and names what it leaves out; nothing fails."""
    await operator.hset(server.keys.credentials, "1001", "sealed")  # type: ignore[misc]
    async with rig_on(operator, tmp_path) as rig:
        sealed = rig.settings(
            redis_dsn=server.dsn(user), credentials="redis:", credentials_keys=Secret(new_entry("first"))
        )
        checks = await doctor.diagnose(ProducerSettings(redis_dsn=server.dsn(user)))
        checks += await worker_doctor.checks(sealed)

    assert CheckStatus.FAIL not in {check.status for check in checks}, checks
    (credentials,) = [check.detail for check in checks if check.name == "credentials"]
    assert found in credentials
    assert await refused(operator) == []


async def test_a_queue_of_an_earlier_version_is_moved_by_a_producer_s_user(single: Server) -> None:
    """With its lanes, its batch and its buckets."""
    operator = single.client("operator")
    stored = StoredQueue.from_file("queue_of_layout_1.json")
    await stored.load(operator)
    await operator.delete(KEYS.workers)  # they have been stopped

    async with operator, Producer.connect(single.dsn("producer")) as producer:
        report = await producer.migrate()

        assert report.changes == sum(map(len, stored.queued.values()))
        assert await refused(operator) == []


async def _control_job(client: ArqRedis) -> None:
    client.job_serializer, client.job_deserializer = serialize, deserialize
    async with client:
        job = await client.enqueue_job(
            "submit", msgspec.to_builtins(change("1002")), _job_id="control", _queue_name=CONTROL_QUEUE
        )
        assert job is not None
        assert (await job.result(timeout=20, poll_delay=0.05))["jobId"] == "control.change"


def _work_plainly(settings: ProducerSettings) -> None:
    with PlainProducer.connect(settings=settings) as producer:
        assert producer.enqueue(change("1002")).result(timeout=20).applied
        batch = producer.fan_out([change("1001"), change("1002")], batch_id="august")
        assert batch.wait(timeout=20).complete
        assert len(list(batch.results())) == 2


async def test_the_credentials_are_for_workers_to_read_and_for_one_user_to_write(
    server: Server, operator: ArqRedis
) -> None:
    """Not for producers, whichever way."""
    credentials, mine = server.keys.credentials, server.keys.counts
    await operator.hset(credentials, "1001", "sealed")  # type: ignore[misc]
    ways: list[tuple[Any, ...]] = [
        ("HGET", credentials, "1001"),
        ("COPY", credentials, mine),
        ("RENAME", credentials, mine),
        ("DEL", credentials),
        ("EVAL", f"return redis.call('HGETALL', '{credentials}')", 0),
    ]
    await _are_refused(server, "producer", ways)
    await _are_refused(server, "worker", [("HSET", credentials, "1001", "other"), ("DEL", credentials)])
    await _are_refused(server, "keys", [("GET", f"{server.keys.job}1"), ("HGETALL", server.keys.counts)])

    async with server.client("worker") as worker, server.client("keys") as keeper:
        kept, read = SealedRecords(keeper), SealedRecords(worker)
        assert await kept.put([("1002", b"sealed"), ("1003", b"sealed")]) == 2
        assert await kept.replace("1002", b"sealed", b"again")
        assert await kept.remove("1003")
        assert [page async for page in kept.pages()] == [[("1001", b"sealed"), ("1002", b"again")]]
        assert (await read.get("1001"), await read.count()) == (b"sealed", 2)


@pytest.mark.parametrize("user", ["producer", "worker", "keys"])
async def test_what_is_nobodys_business_is_refused(server: Server, user: str) -> None:
    """What ends a server, what lists or reads others' keys, what changes rights, what hears others' channels."""
    await _are_refused(
        server,
        user,
        [
            ("FLUSHALL",),
            ("FLUSHDB",),
            ("KEYS", "*"),
            ("SCAN", 0),
            ("RANDOMKEY",),
            ("CONFIG", "GET", "*"),
            ("SHUTDOWN", "NOSAVE"),
            ("DEBUG", "SLEEP", "0"),
            ("REPLICAOF", "NO", "ONE"),
            ("ACL", "LIST"),
            ("CLIENT", "KILL", "TYPE", "normal"),
            ("CLIENT", "LIST"),
            ("SCRIPT", "FLUSH"),
            ("SCRIPT", "KILL"),
            ("FUNCTION", "FLUSH"),
            ("FUNCTION", "LOAD", "#!lua name=mine\nserver.register_function('mine', function() end)"),
            ("FCALL", "mine", 0),
            ("COPY", "copytrade:a", "copytrade:b"),
            ("DBSIZE",),
            ("CLUSTER", "RESET"),
            ("CLUSTER", "FAILOVER"),
            ("CLUSTER", "SETSLOT", "0", "STABLE"),
            ("MONITOR",),
            ("GET", "somebody-elses"),
            ("SET", "somebody-elses", "1"),
            ("SUBSCRIBE", "somebody-elses"),
            ("PUBLISH", "somebody-elses", "1"),
            ("EVAL", "return redis.call('GET', 'somebody-elses')", 0),
            ("EVAL", "return redis.call('FLUSHALL')", 0),
        ],
    )


async def _are_refused(server: Server, user: str, commands: list[tuple[Any, ...]]) -> None:
    async with server.client(user) as client:
        for command in commands:
            with pytest.raises(ResponseError) as caught:
                await client.execute_command(*command)
            error = caught.value
            assert isinstance(error, NoPermissionError) or ACL_REFUSAL.search(str(error)), (command, error)


@pytest.mark.parametrize("user", ["producer", "worker"])
async def test_every_key_of_the_queue_is_within_their_patterns(single: Server, user: str) -> None:
    """Also one that is added some day, as long as it does not begin as the credentials do; with a tag, in shards."""
    attributes = [n for n in vars(Keyspace) if not n.startswith("_") and n != "bucket_of"]
    async with single.client("operator") as operator:
        for keys in (Keyspace(), Keyspace("{copytrade}"), *shard_keyspaces("copytrade", 4)):
            for name in {getattr(keys, attribute) for attribute in attributes} - {keys.credentials}:
                answer = await operator.execute_command("ACL", "DRYRUN", f"copytrade-{user}", "SET", f"{name}x", "1")
                assert answer == b"OK", (name, answer)


@pytest.mark.parametrize(("user", "tag", "page"), [("keys", None, r"redis\.acl"), ("producer", "other", r"ACL\.md")])
async def test_a_refusal_says_that_it_is_one(single: Server, user: str, tag: str | None, page: str) -> None:
    """And where the rights are, instead of a Redis that is away; a caller that would wait is told at once."""
    async with Producer.connect(single.dsn(user), ProducerSettings(keyspace=tag), wait_s=30) as producer:
        for ask in (producer.paused, producer.overview, lambda: producer.enqueue(change())):
            with pytest.raises(QueueUnavailable, match=rf"ACL does not let this user do that .*; .*ops/{page}"):
                await ask()


async def test_only_the_operator_deletes_all_that_is_kept_of_a_user(server: Server) -> None:
    """A producer is refused before anything was cancelled."""
    async with Producer.connect(server.dsn("producer")) as apps, Producer.connect(server.dsn("operator")) as people:
        await apps.enqueue(change())
        with pytest.raises(QueueUnavailable, match="ACL"):
            await apps.forget_user("1001")
        assert (await people.forget_user("1001")).cancelled == 1

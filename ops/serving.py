"""`copytrade serve` as a real process, beside a given Redis. It is stopped on exit and on errors."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.children import child_group
from ops.redis_server import free_port
from ops.stack import START_TIMEOUT_S, stop

POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway that serves.

    Attributes:
        process: its process.
        port: its port on 127.0.0.1.
        link: the address that it printed; with access keys, it signs a browser in once.
    """

    process: Process
    port: int
    link: str

    @property
    def url(self) -> str:
        """Its address, with the prefix that it is served under, without a slash at the end."""
        return self.link.partition("/sign-in?")[0].rstrip("/")


@asynccontextmanager
async def serving(
    redis_dsn: str, *options: str, port: int | None = None, log_path: Path | None = None
) -> AsyncIterator[Served]:
    """Serve a queue meanwhile.

    Args:
        redis_dsn: of the Redis with the queue.
        options: of `copytrade serve`.
        port: on 127.0.0.1; by default a free one.
        log_path: the file for its log; None discards it.
    """
    port = port or free_port()
    command = ("-m", "producers.cli", "--redis", redis_dsn, "serve", "--port", str(port), *options)
    with (log_path or Path(os.devnull)).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=DEVNULL, stdout=PIPE, stderr=log, process_group=child_group()
        )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            link = (await process.stdout.readline()).decode().strip()
            if not link:
                raise RuntimeError(f"the gateway did not start: {sys.executable} {' '.join(command)}")
            while not await _listens(port):  # noqa: ASYNC110 - asks another process
                await asyncio.sleep(POLL_INTERVAL_S)
        yield Served(process, port, link)
    finally:
        await stop(process)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True

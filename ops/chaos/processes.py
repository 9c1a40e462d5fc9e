"""Workers and producers as processes that are killed, stalled, stopped, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.children import child_group
from ops.stack import stop

POLL_INTERVAL_S = 0.05


@dataclass(slots=True)
class ManagedProcess:
    """A process and its replacements.

    Attributes:
        name: for people.
        command: the arguments of `python`.
        environ: its whole environment.
        log: the file for its output.
        may_end: whether it may end by itself, with status 0.
        exits: the exit statuses of processes that ended by themselves.
        starts: the number of processes so far.
        stalls: start and end of each stall, nanoseconds of the machine's monotonic clock.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    log: Path
    may_end: bool = False
    exits: list[int] = field(default_factory=list)
    starts: int = 0
    stalls: list[tuple[int, int]] = field(default_factory=list)
    _process: Process | None = None
    _watch: asyncio.Task[None] | None = None
    _is_ending: bool = False
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> None:
        """Start a process."""
        self._is_ending = False
        self.starts += 1
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command,
                env=dict(self.environ),
                stdout=output,
                stderr=output,
                process_group=child_group(),
            )
        self._watch = asyncio.create_task(self._watch_exit(self._process))

    async def replace(self, *, kill: bool) -> None:
        """End the process, by SIGKILL or SIGTERM, and start another one."""
        async with self._lock:
            if not self.has_ended:
                await self._end(kill=kill)
                await self.start()

    async def stall(self, seconds: float) -> None:
        """Stop the process by SIGSTOP for a while."""
        async with self._lock:
            process = self._process
            if self.has_ended or process is None:
                return
            stalled_ns = time.monotonic_ns()
            process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGCONT)
                self.stalls.append((stalled_ns, time.monotonic_ns()))

    async def stop(self) -> None:
        """Stop the process for good."""
        await self._end(kill=False)

    async def wait(self) -> None:
        """Wait until the process has ended by itself."""
        while not self.has_ended:  # noqa: ASYNC110 - the process may be replaced meanwhile
            await asyncio.sleep(POLL_INTERVAL_S)

    @property
    def has_ended(self) -> bool:
        """Whether no process runs."""
        return self._process is None or self._process.returncode is not None

    async def _end(self, *, kill: bool) -> None:
        process = self._process
        if process is None or self._watch is None:
            return
        if process.returncode is None:
            self._is_ending = True
            if kill:
                process.kill()
            else:
                process.send_signal(signal.SIGCONT)
                if await stop(process) == -signal.SIGKILL:
                    self.exits.append(-signal.SIGKILL)  # it ignored SIGTERM
        await self._watch

    async def _watch_exit(self, process: Process) -> None:
        status = await process.wait()
        if not self._is_ending and not (self.may_end and status == 0):
            self.exits.append(status)


def environment_with(**variables: str) -> dict[str, str]:
    """Return this process's environment, without settings of this project, and with some variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COPYTRADE_")}
    return kept | variables

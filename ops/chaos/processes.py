"""Workers and producers as processes, each in a place of its own: killed, stalled, stopped, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STOPPED_WITHIN_S = 20.0
POLL_INTERVAL_S = 0.05


@dataclass(slots=True)
class ManagedProcess:
    """Where one process after the other runs.

    Attributes:
        name: of the place.
        command: after `python`.
        environ: all of it.
        log: where its output goes.
        ends: whether it may end by itself, with status 0.
        lost: what ended though nobody ended it: exit statuses.
        starts: how many processes there were.
        stalls: from when to when it was stopped and went on, nanoseconds of the machine's monotonic clock.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    log: Path
    ends: bool = False
    lost: list[int] = field(default_factory=list)
    starts: int = 0
    stalls: list[tuple[int, int]] = field(default_factory=list)
    _process: Process | None = None
    _watch: asyncio.Task[None] | None = None
    _meant: bool = False
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> None:
        """Starts a process here."""
        self._meant = False
        self.starts += 1
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command,
                env=dict(self.environ),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._watch = asyncio.create_task(self._see_it_end(self._process))

    async def kill(self) -> None:
        """Kills what runs here, and starts another."""
        async with self._lock:
            if self.has_ended:
                return
            await self._end(signal.SIGKILL)
            await self.start()

    async def restart(self) -> None:
        """Stops what runs here as an operator does, and starts another."""
        async with self._lock:
            if self.has_ended:
                return
            await self._end(signal.SIGTERM)
            await self.start()

    async def stall(self, seconds: float) -> None:
        """What runs here stands still for a while."""
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
        """Nothing runs here any more."""
        await self._end(signal.SIGTERM)

    async def ended(self) -> None:
        """Returns when what runs here has ended by itself."""
        while not self.has_ended:  # noqa: ASYNC110 - looks at another process
            await asyncio.sleep(POLL_INTERVAL_S)

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs here."""
        return self._process is None or self._process.returncode is not None

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            self._meant = True
            process.send_signal(how)
            if how is not signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOPPED_WITHIN_S):
                    await process.wait()
            if process.returncode is None:
                self.lost.append(-signal.SIGTERM)  # it did not obey
                process.kill()
        await process.wait()
        if self._watch is not None:
            await self._watch

    async def _see_it_end(self, process: Process) -> None:
        status = await process.wait()
        if not self._meant and not (self.ends and status == 0):
            self.lost.append(status)


def environment(**variables: str) -> dict[str, str]:
    """The machine's environment without settings of this project, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COPYTRADE_")}
    return kept | variables

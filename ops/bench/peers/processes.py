"""A process with its children: its CPU time, and its end. From /proc (Linux only)."""

from __future__ import annotations

import os
import signal
import time
from asyncio import sleep, timeout
from asyncio.subprocess import Process
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ops.bench.measurement import NS_PER_S

US_PER_S = 1_000_000
SAMPLE_INTERVAL_S = 0.02
STOP_TIMEOUT_S = 5.0


@dataclass(slots=True)
class CpuLog:
    """The CPU time of a process and its children over time.

    Attributes:
        pid: of the process.
        at_ns: when it was read, monotonic clock.
        cpu_us: the CPU time so far, user and system.
    """

    pid: int
    at_ns: list[int] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    async def follow(self) -> None:
        """Read it until this is cancelled."""
        while True:
            self.read()
            await sleep(SAMPLE_INTERVAL_S)

    def read(self) -> None:
        """Read it once."""
        self.at_ns.append(time.monotonic_ns())
        self.cpu_us.append(US_PER_S * sum(_cpu_s(pid) for pid in family(self.pid)))

    def at(self, moment_ns: int) -> float:
        """Return the CPU time at a moment: of the last reading before it, or of the first of all."""
        return self.cpu_us[max(bisect_right(self.at_ns, moment_ns) - 1, 0)]

    def between(self, first_ns: int, last_ns: int, grace_s: float = 0.1) -> float:
        """Return the microseconds spent from one moment to another and a little longer, for its replies."""
        return self.at(last_ns + int(grace_s * NS_PER_S)) - self.at(first_ns)


def family(pid: int) -> list[int]:
    """Return a process that runs with its children, theirs and so on; nothing if it has ended."""
    try:
        threads = [thread.name for thread in Path(f"/proc/{pid}/task").iterdir()]
        children = [
            int(child)
            for thread in threads
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii").split()
        ]
    except FileNotFoundError:
        return []
    return [pid, *(each for child in children for each in family(child))]


async def stop_family(process: Process) -> None:
    """Stop a process with SIGTERM; after a time, kill it and its children, which may not end with it."""
    if process.returncode is not None:
        return
    pids = family(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        async with timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        _kill(pids)
        await process.wait()


async def kill_family(process: Process) -> int:
    """Kill a process and its children; return when the first was killed, nanoseconds of the monotonic clock."""
    killed_ns = time.monotonic_ns()
    _kill(family(process.pid))
    await process.wait()
    return killed_ns


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _cpu_s(pid: int) -> float:
    """Return the seconds of CPU time of one process, 0 if it has ended: the 14th and 15th field of its stat."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

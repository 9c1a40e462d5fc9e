"""A sampler of a process's CPU time: which part of the program runs, at each tick of its CPU clock.

It samples where a deterministic profiler would lengthen every call of Python, and so show the HTTP client and asyncio,
which are made of many short calls, larger than they are. A process that waits is not sampled.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from types import FrameType

HTTP, SIGNING, REDIS, ARQ = "HTTP client: aiohttp, yarl", "signing and body", "redis-py", "arq"
QUEUE, ATTEMPT, PROCESS = "ours: claims and settlements", "ours: attempts, requests, replies", "ours: the rest"
LOOP, OTHER = "asyncio: the event loop", "other"

PARTS = {
    "aiohttp": HTTP,
    "yarl": HTTP,
    "multidict": HTTP,
    "frozenlist": HTTP,
    "aiosignal": HTTP,
    "propcache": HTTP,
    "aiohappyeyeballs": HTTP,
    "redis": REDIS,
    "hiredis": REDIS,
    "arq": ARQ,
    "worker.exchange.signing": SIGNING,
    "worker.exchange.endpoint": SIGNING,
    "worker.exchange": ATTEMPT,
    "worker.attempt": ATTEMPT,
    "worker.credentials": ATTEMPT,
    "worker.queue": QUEUE,
    "producers": QUEUE,
    "worker": PROCESS,
}
"""The part of each module, by its longest prefix here. Modules that are not here work for their callers."""

INTERVAL_S = 0.002
"""Asked for; the system's tick may be longer, such as 4 ms."""

Frames = Iterator[tuple[str, str]]
"""Modules and functions, from the innermost call outwards."""


class CpuSampler:
    """Counts samples by the part that runs. It uses SIGPROF, and runs in the main thread."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to sample."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> None:
        """Stop; `samples` has what was counted. A stopped sampler may be stopped again."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        self.samples[part_of(_frames(frame))] += 1


def part_of(frames: Frames) -> str:
    """Return the part for which a stack works: of the innermost call that has one, within one turn of the loop."""
    for module, function in frames:
        if (module, function) == ("asyncio.base_events", "_run_once"):
            return LOOP
        prefix = module
        while prefix:
            if prefix in PARTS:
                return PARTS[prefix]
            prefix = prefix.rpartition(".")[0]
    return OTHER


def _frames(frame: FrameType | None) -> Frames:
    while frame is not None:
        yield str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        frame = frame.f_back

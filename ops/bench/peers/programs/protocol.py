"""What every program of a peer can do: one protocol, so that the benchmark treats all alike.

    python PROGRAM.py work      run one worker until SIGTERM; print `ready` when it begins to take jobs
    python PROGRAM.py enqueue   read changes as JSON lines, enqueue all, print {"enqueued": N, "elapsed_s": S,
                                "called_ns": N}, monotonic clock
    python PROGRAM.py trickle   the same, but enqueue one change after another, TRICKLE_PER_S a second
    python PROGRAM.py call      for each JSON line {"change": {...}, "poll_s": S or null}: enqueue the change, wait for
                                its result, print {"called_ns": N, "seen_ns": N}, monotonic clock
    python PROGRAM.py results   print {"applied": N}: how many results are stored that say so

Addresses come from the environment: PEERS_REDIS_URL, PEERS_EXCHANGE_URL. PEERS_VARIANT names the set-up, if a program
has several. PEERS_JOBS_AT_ONCE is the most jobs that a worker runs at once, unless it has the peer's own default.
PEERS_RECOVERY_S is after how many seconds the jobs of a dead worker are another's; 0 for the peer's default.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

REDIS_URL = os.environ.get("PEERS_REDIS_URL", "redis://127.0.0.1:6379/0")
VARIANT = os.environ.get("PEERS_VARIANT", "")
JOBS_AT_ONCE = int(os.environ.get("PEERS_JOBS_AT_ONCE", "64"))
RECOVERY_S = int(os.environ.get("PEERS_RECOVERY_S", "0"))

CALLS_AT_ONCE = 64
"""Of a caller that enqueues one change a call, as many as the connections of the bare loop."""

TRICKLE_PER_S = 200

Change = dict[str, Any]


class Queue(Protocol):
    """A peer's queue. `work` is used alone; the other methods within `open`."""

    def work(self) -> None:
        """Run one worker until SIGTERM. Call `ready` when it begins to take jobs."""

    def open(self) -> AbstractAsyncContextManager[object]:
        """Connect the caller, who enqueues and waits."""

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue changes in the fastest way that the peer's documentation shows."""

    async def call(self, change: Change, poll_s: float | None) -> object:
        """Enqueue one change, wait for its result in the way that the peer's documentation shows, and return it.

        Args:
            change: one change.
            poll_s: the pause between two looks for the result, for peers that poll; None for the peer's default.
        """

    def applied(self) -> AsyncIterator[bool]:
        """Yield of each stored result whether the change was applied."""


def ready() -> None:
    """Say that the worker begins to take jobs."""
    print("ready", flush=True)


def run(queue: Queue, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    """Run the command that the first argument names.

    Args:
        queue: of the peer.
        loop_factory: of the caller's event loop; asyncio's by default.
    """
    command = sys.argv[1]
    if command == "work":
        queue.work()
        return
    commands = {
        "enqueue": _enqueue,
        "trickle": partial(_enqueue, per_s=TRICKLE_PER_S),
        "call": _call,
        "results": _results,
    }
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(commands[command](queue))


async def bounded(calls: Iterable[Coroutine[Any, Any, object]], at_once: int = CALLS_AT_ONCE) -> None:
    """Await calls, some at once; the calls are made one by one."""
    waiting = iter(calls)

    async def take() -> None:
        for call in waiting:
            await call

    await asyncio.gather(*(take() for _ in range(at_once)))


async def _enqueue(queue: Queue, per_s: int = 0) -> None:
    """Enqueue all at once, or one after another at a rate."""
    changes = [json.loads(line) for line in sys.stdin]
    async with queue.open():
        called_ns = time.monotonic_ns()
        if not per_s:
            await queue.enqueue(changes)
        for number, change in enumerate(changes if per_s else ()):
            await asyncio.sleep(number / per_s - (time.monotonic_ns() - called_ns) / 1e9)
            await queue.enqueue([change])
        elapsed_s = (time.monotonic_ns() - called_ns) / 1e9
    print(json.dumps({"enqueued": len(changes), "elapsed_s": elapsed_s, "called_ns": called_ns}))


async def _call(queue: Queue) -> None:
    async with queue.open():
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            called_ns = time.monotonic_ns()
            await queue.call(order["change"], order["poll_s"])
            print(json.dumps({"called_ns": called_ns, "seen_ns": time.monotonic_ns()}), flush=True)


async def _results(queue: Queue) -> None:
    async with queue.open():
        print(json.dumps({"applied": sum([applied async for applied in queue.applied()])}))

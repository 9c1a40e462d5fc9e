"""Several worker processes under one: started together, stopped together, restarted when one dies."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE

RESTART_S = 1.0

BAD_START = 2
"""The exit status of a process whose settings cannot be used: starting it again would not help."""

UNDER_PARENT = "--under-parent"
"""The option of a process that stops when its standard input ends."""

log = logging.getLogger(__name__)


async def run_processes(count: int, arguments: list[str], *, restart: bool) -> int:
    """Runs `python -m worker` that many times; returns the highest exit status.

    Args:
        count: how many.
        arguments: what each is started with.
        restart: whether one that ends by itself is started again.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    statuses = await asyncio.gather(*(_keep_one(arguments, stopping, restart=restart) for _ in range(count)))
    return max(statuses)


async def _keep_one(arguments: list[str], stopping: asyncio.Event, *, restart: bool) -> int:
    told = asyncio.create_task(stopping.wait())
    while True:
        # A session of its own: Ctrl-C reaches this process alone, which then asks each of its children once. Nothing is
        # ever written to its standard input: it ends when this process does, however it does.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker", UNDER_PARENT, *arguments, start_new_session=True, stdin=PIPE
        )
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.send_signal(signal.SIGTERM)
        status = exit_status(await ended, told_to_stop=stopping.is_set())
        if not restart or stopping.is_set() or status == BAD_START:
            return status
        log.error("a worker process ended with status %d; starting another", status)
        await asyncio.wait({told}, timeout=RESTART_S)
        if stopping.is_set():
            return 0


def exit_status(returncode: int, *, told_to_stop: bool) -> int:
    """What a shell would call the end of a process: 128 + n for a signal n, but 0 for the one that it was asked by."""
    if told_to_stop and returncode == -signal.SIGTERM:
        return 0  # it came before the worker could handle it: nothing was in flight
    return returncode if returncode >= 0 else 128 - returncode

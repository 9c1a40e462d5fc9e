"""Several worker processes under one parent: started and stopped together, restarted when one ends by itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from functools import partial

from producers.service_manager import ServiceManager
from worker.logs import Event, log_fields
from worker.process.child_watch import ChildWatch

COMMAND = (sys.executable, "-m", "worker")

RESTART_DELAY_S = 1.0

KILL_AFTER_S = 15.0
"""How long a process that stops may take besides waiting for its attempts: replies of Redis that time out, and the last
spans. One that takes longer hangs."""

BAD_START = 2
"""The exit status of a process with unusable settings, which is not restarted."""

UNDER_PARENT = "--under-parent"
"""The option of a process that stops when its standard input ends; its value is the index of the process, from 0."""

log = logging.getLogger(__name__)


async def run_processes(count: int, arguments: list[str], *, restart: bool, stop_timeout_s: float) -> int:
    """Run `count` processes `python -m worker` until SIGTERM or SIGINT. Return the highest exit status.

    If a service manager wants to be notified, this process reports to it, and the children to this process: they are
    ready together, and one that hangs is killed and restarted without the others.

    Args:
        count: number of processes.
        arguments: the command line of each.
        restart: whether to restart a process that ends by itself.
        stop_timeout_s: how long a process that stops waits for its attempts.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    manager = ServiceManager.from_env()
    starting = set(range(count))

    def stop() -> None:
        manager.stopping()
        stopping.set()

    def ready(index: int) -> None:
        if index in starting:
            starting.remove(index)
            if not starting:
                manager.ready()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    manager.keep_alive(loop)
    children = (
        supervise(
            [UNDER_PARENT, str(n), *arguments],
            stopping,
            manager,
            partial(ready, n),
            restart=restart,
            stop_within_s=stop_timeout_s + KILL_AFTER_S,
        )
        for n in range(count)
    )
    return max(await asyncio.gather(*children))


async def supervise(
    arguments: list[str],
    stopping: asyncio.Event,
    manager: ServiceManager,
    on_ready: Callable[[], object],
    *,
    restart: bool,
    stop_within_s: float,
) -> int:
    """Run one process; with `restart`, start another whenever it ends. Return the last exit status.

    Args:
        arguments: its command line.
        stopping: set when it is to stop.
        manager: the service manager, whose watchdog it is under.
        on_ready: called when it is ready.
        restart: whether to restart it when it ends by itself.
        stop_within_s: how long it may take to stop before it is killed.
    """
    stop_wait = asyncio.create_task(stopping.wait())
    while True:
        watch = ChildWatch(manager.watchdog_s, on_ready) if manager.address else None
        # In a session of its own the child gets no Ctrl-C; this process sends it one SIGTERM. Nothing is written to its
        # standard input, which ends when this process does, however that happens.
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, *arguments),
            start_new_session=True,
            stdin=PIPE,
            env=None if watch is None else watch.environ,
        )
        if watch is not None:
            watch.begin(process)
        exit_wait = asyncio.create_task(process.wait())
        await asyncio.wait({exit_wait, stop_wait}, return_when=asyncio.FIRST_COMPLETED)
        if not exit_wait.done():
            process.send_signal(signal.SIGTERM)
            await _kill_if_it_hangs(process, exit_wait, stop_within_s)
        status = exit_status(await exit_wait, stop_requested=stopping.is_set())
        if watch is not None:
            watch.close()
        if not restart or stopping.is_set() or status == BAD_START:
            return status
        extra = log_fields(Event.PROCESS_ENDED, status=status)
        log.error("a worker process ended with status %d; starting another", status, extra=extra)
        await asyncio.wait({stop_wait}, timeout=RESTART_DELAY_S)
        if stopping.is_set():
            return 0


async def _kill_if_it_hangs(process: Process, exit_wait: asyncio.Task[int], stop_within_s: float) -> None:
    """Wait for a process that was told to stop, and kill it if it takes too long."""
    await asyncio.wait({exit_wait}, timeout=stop_within_s)
    if exit_wait.done():
        return
    log.error(
        "the worker process %d hangs: it has not stopped within %g s; killing it",
        process.pid,
        stop_within_s,
        extra=log_fields(Event.PROCESS_HUNG, pid=process.pid),
    )
    process.kill()


def exit_status(returncode: int, *, stop_requested: bool) -> int:
    """Return a process's status as a shell does: 128 + n for signal n, but 0 for the SIGTERM that was requested."""
    if stop_requested and returncode == -signal.SIGTERM:
        return 0  # the signal came before the worker could handle it: nothing was in flight
    return returncode if returncode >= 0 else 128 - returncode

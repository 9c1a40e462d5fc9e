"""The watch over one child process: this process is its service manager (producers/service_manager.py)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress

from producers.service_manager import NOTIFY_SOCKET, READY, WATCHDOG, WATCHDOG_PID, WATCHDOG_USEC
from worker.logs import Event, log_fields

MAX_MESSAGE_BYTES = 4096
"""As systemd's NOTIFY_BUFFER_MAX."""

START_S = 60.0
"""How long a child may take from its start to its first sign of life, or the watchdog's time if that is longer: for its
imports and its source of API keys. One that waits for Redis gives signs of life."""

log = logging.getLogger(__name__)


class ChildWatch:
    """Hears when a child is ready, and kills it when it has been silent for too long.

    Attributes:
        environ: the environment to start the child with.
    """

    def __init__(self, watchdog_s: float | None, on_ready: Callable[[], object]) -> None:
        """Open the socket that the child reports to.

        Args:
            watchdog_s: after how much silence the child counts as hung; None to not watch it.
            on_ready: called when the child is ready.
        """
        self._watchdog_s = watchdog_s
        self._on_ready = on_ready
        self._process: Process | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("")  # Linux finds a free abstract name (unix(7), autobind)
        self.environ = {**os.environ, NOTIFY_SOCKET: "@" + self._socket.getsockname()[1:].decode()}
        self.environ.pop(WATCHDOG_PID, None)
        if watchdog_s is not None:
            self.environ[WATCHDOG_USEC] = str(round(watchdog_s * 1_000_000))
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def begin(self, process: Process) -> None:
        """Watch a process that was started with `environ`."""
        self._process = process
        if self._watchdog_s is not None and self._timer is None:  # else it has given a sign already
            self._wait_for_sign(max(self._watchdog_s, START_S))

    def close(self) -> None:
        """End the watch: the process has ended."""
        if self._timer is not None:
            self._timer.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            lines = self._socket.recv(MAX_MESSAGE_BYTES).split(b"\n")
            if READY in lines:
                self._on_ready()
            if WATCHDOG in lines and self._watchdog_s is not None:
                self._wait_for_sign(self._watchdog_s)

    def _wait_for_sign(self, limit_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._kill, limit_s)

    def _kill(self, silent_s: float) -> None:
        if self._process is None:
            return
        log.error(
            "the worker process %d hangs: its event loop was silent for %g s; killing it",
            self._process.pid,
            silent_s,
            extra=log_fields(Event.PROCESS_HUNG, pid=self._process.pid),
        )
        with suppress(ProcessLookupError):
            self._process.kill()

"""Messages to the service manager that started this process, as sd_notify(3) and sd_watchdog_enabled(3) define them.

The manager names a datagram socket in NOTIFY_SOCKET, and in WATCHDOG_USEC the time after which a process that it has
not heard of counts as hung. Without these variables nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
READY, STOPPING, WATCHDOG = b"READY=1", b"STOPPING=1", b"WATCHDOG=1"

BEATS_PER_TIMEOUT = 2
"""sd_watchdog_enabled(3) recommends a beat every half of the time."""

SEND_TIMEOUT_S = 0.1
"""A manager that does not read holds up the event loop no longer than this."""


class ServiceManager:
    """The manager to which one process reports.

    Attributes:
        address: the name of its socket, "@" before an abstract one; empty if nobody wants to be notified.
        watchdog_s: after how much silence it takes the process for hung; None if it does not watch.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.address = address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return the manager that the environment names."""
        environ = os.environ if environ is None else environ
        micros = environ.get(WATCHDOG_USEC, "")
        is_watched = (
            micros.isdecimal() and int(micros) > 0 and environ.get(WATCHDOG_PID, str(os.getpid())) == str(os.getpid())
        )
        return cls(environ.get(NOTIFY_SOCKET, ""), int(micros) / 1_000_000 if is_watched else None)

    def ready(self) -> None:
        """Say that the process serves."""
        self._send(READY)

    def stopping(self) -> None:
        """Say that the process has begun to stop."""
        self._send(STOPPING)

    def keep_alive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send signs of life as long as an event loop runs. One that is blocked sends none."""
        if self.watchdog_s is not None:
            self._send(WATCHDOG)
            loop.call_later(self.watchdog_s / BEATS_PER_TIMEOUT, self.keep_alive, loop)

    def _send(self, message: bytes) -> None:
        """Send one message. If nobody takes it, the manager notices by its own time-outs."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_TIMEOUT_S)
            sender.sendto(message, address)

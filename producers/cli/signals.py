"""SIGTERM ends a command as Ctrl-C does: the terminal is restored, and the message says what continues."""

from __future__ import annotations

import signal
from types import FrameType

_received: set[int] = set()
"""The signals that this process has received. A process has one set of handlers, so that this is a global."""


def handle_sigterm() -> None:
    """Handle SIGTERM from now on. Must be called in the main thread."""
    if not callable(signal.getsignal(signal.SIGINT)):
        # A shell starts background jobs with SIGINT ignored. It stays unheard, but has a handler, so that event loops
        # end their work in order. Without one, KeyboardInterrupt is raised at any line, and some code drops it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)


def was_terminated() -> bool:
    """Return whether a SIGTERM has come."""
    return signal.SIGTERM in _received


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Do what SIGINT would do at this moment: an event loop has a handler of its own."""
    _received.add(signum)
    on_interrupt = signal.getsignal(signal.SIGINT)
    if callable(on_interrupt):
        on_interrupt(signal.SIGINT, frame)

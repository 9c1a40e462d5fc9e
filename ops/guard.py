"""The guard of a launcher: it ends what the launcher started, however the launcher ends, even by SIGKILL.

`ops/children.py` starts it with a pipe as its standard input, which the system closes when the launcher ends. All
children of the launcher are in the guard's process group. When the pipe is closed, the guard kills that group and
removes the launcher's temporary folders, which it has read from the pipe: `+path` to remove one, `-path` to keep it.

It runs as a script of its own, without the environment's packages, so that it starts fast.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

ENDED_WITHIN_S = 3.0
"""After SIGKILL, which takes milliseconds. Where nobody reaps orphans, as in some containers, the group stays."""

POLL_INTERVAL_S = 0.01


def main() -> None:
    """Wait until the launcher ends, then clean up after it."""
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    folders: set[str] = set()
    for line in sys.stdin:
        change, folder = line[0], line[1:].rstrip("\n")
        (folders.add if change == "+" else folders.discard)(folder)
    group = os.getpgrp()
    if os.fork():
        signal.pause()  # this process is one of the group
    os.setpgid(0, 0)
    _kill(group)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _kill(group: int) -> None:
    """Kill a process group, and wait until it has no processes."""
    deadline_s = time.monotonic() + ENDED_WITHIN_S
    try:
        while time.monotonic() < deadline_s:
            os.killpg(group, signal.SIGKILL)
            time.sleep(POLL_INTERVAL_S)
    except (ProcessLookupError, PermissionError):
        pass  # no process is left; PermissionError on macOS if nobody has reaped them yet


if __name__ == "__main__":
    main()

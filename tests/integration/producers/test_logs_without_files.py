"""The log of a process that has no file descriptor left."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from producers.logs import ACCEPT_FAILED_INTERVAL_S, AcceptFailures

PROGRAM = """
import logging, resource
from producers.logs import log_to_stderr

log_to_stderr("INFO", "json")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
try:
    open("/dev/null")
except OSError:
    logging.getLogger("test").exception("written\\x1b")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))  # what measures the coverage writes a file at the end
"""


def written_by(program: str) -> str:
    """Return what a program writes to standard error."""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(  # noqa: S603 - a program of this file
        command, capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stderr


def test_a_line_is_written_without_opening_a_file() -> None:
    """Characters that are not printable and a traceback included."""
    log = written_by(PROGRAM)

    line = json.loads(log)
    assert line["message"] == "written\\x1b"
    assert "Too many open files" in line["exception"]


REPEATING = """
import asyncio, errno
from producers.logs import ACCEPT_FAILED, log_to_stderr

log_to_stderr("INFO", "console")
loop = asyncio.new_event_loop()
for _ in range(1000):
    loop.call_exception_handler({"message": ACCEPT_FAILED, "exception": OSError(errno.EMFILE, "Too many open files")})
for number in range(2):
    loop.call_exception_handler({"message": f"something else {number}"})
loop.close()
"""


def test_asyncio_says_once_that_it_cannot_accept_connections() -> None:
    """It says so for each connection that may wait. What else it says is logged each time."""
    log = written_by(REPEATING)

    lines = [line for line in log.splitlines() if " ERROR asyncio " in line]
    assert [line.partition(" asyncio ")[2] for line in lines] == [
        "socket.accept() out of system resource",
        "something else 0",
        "something else 1",
    ]


def test_asyncio_says_again_each_minute_that_it_cannot_accept_connections() -> None:
    """As long as it cannot."""
    accept_failures, passed = AcceptFailures(), []
    for second in range(150):
        record = logging.makeLogRecord({"msg": "socket.accept() out of system resource\nsocket: <...>"})
        record.created = 1_000_000.0 + second
        passed += [second] if accept_failures.filter(record) else []

    assert ACCEPT_FAILED_INTERVAL_S == 60
    assert passed == [0, 60, 120]

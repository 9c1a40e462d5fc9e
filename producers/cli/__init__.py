"""The command `copytrade`, for people and for shell scripts, built on the same public API that programs use.

main            the console script; `python -m producers.cli` runs it too
root            the top-level group, and commands that other packages add
input           followers and settings read from files and flags
changes, fan_out, batches, users, pauses, dead, top, doctor, schema
                the commands, one file per command group
screen, json_output, export, formatting
                output to a terminal, a pipe, JSON and CSV
errors, exit_codes
                errors as one line on standard error, and the exit codes
"""

from __future__ import annotations

import sys

from producers.cli import root
from producers.cli.exit_codes import ExitCode


def main() -> None:
    """Run the command line and exit with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale without Unicode must not stop a command
    try:
        root.root.main()
    except KeyboardInterrupt:  # Ctrl-C was pressed twice
        sys.exit(ExitCode.INTERRUPTED)

"""The command line `copytrade`: for people and for shell scripts, over the same public names that programs use.

main            the console script; also python -m producers.cli
root            the group of all commands, and those that other packages add
given           what a person hands in: followers and settings from files and flags
changes, fan_out, batches, users, pauses, dead, top, doctor, schema
                the commands, a file a family; each asks the producer once and shows the answer
screen, plain, export, shown
                the showing: a terminal, a pipe, JSON, CSV
exits, failures exit statuses, and errors as one line
"""

from __future__ import annotations

import sys

from producers.cli import root

INTERRUPTED = 130


def main() -> None:
    """Runs the command line; exits with its status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale without Unicode must not end a command
    try:
        root.root.main()
    except KeyboardInterrupt:  # pressed twice
        sys.exit(INTERRUPTED)

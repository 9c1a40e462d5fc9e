"""The command `copytrade`, for people and shell scripts. It uses the public Python API.

root            the top-level group, and commands that other packages add
changes, fan_out, batches, users, pauses, dead_letters, top, doctor, schema
                the commands, one file per command group
context, shared_options, settings_options
                the state of an invocation, and the options that commands share
input           followers and settings, parsed from files and flags
fan_out_submission, result_reader, progress_bar, overview_view
                the longer tasks of `fan-out`, `batch` and `top`
screen, views, text, json_output, export
                output to a terminal, a pipe, JSON and CSV
errors, exit_codes
                one line per error on standard error, and the exit codes
"""

from __future__ import annotations

import sys

from producers.cli import root
from producers.cli.exit_codes import ExitCode


def main() -> None:
    """Run the command line and exit with its exit code; the console script `copytrade` calls this."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale without Unicode must not stop a command
    try:
        root.root.main()
    except KeyboardInterrupt:  # Ctrl-C was pressed twice
        sys.exit(ExitCode.INTERRUPTED)

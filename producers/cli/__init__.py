"""The command `copytrade`, for people and shell scripts. It uses the public Python API.

root            the top-level group, and commands that other packages add
changes, fan_out, batches, users, pauses, dead_letters, top, doctor, schema
                the commands, one file per command group
context, shared_options, settings_options, number_types
                the state of an invocation, and the options that commands share
input           followers and settings, parsed from files and flags
fan_out_submission, result_reader, progress_bar, overview_view
                the longer tasks of `fan-out`, `batch` and `top`
screen, views, text, json_output, export
                output to a terminal, a pipe, JSON and CSV
errors, exit_codes, signals, streams
                one line per error on standard error, the exit codes, SIGTERM, and closed or full streams
"""

from __future__ import annotations

import sys

from producers.cli import root, signals, streams
from producers.cli.errors import interruption_code


def main() -> None:
    """Run the command line and exit with its exit code; the console script `copytrade` calls this."""
    streams.open_missing_streams()
    streams.escape_unencodable()
    try:
        signals.handle_sigterm()
        exit_code = root.root.main(standalone_mode=False)
    except KeyboardInterrupt:  # Ctrl-C was pressed twice
        exit_code = interruption_code()
    streams.discard_unwritable()
    sys.exit(exit_code)

"""`python -m worker [--burst] [--processes N]`: drains the lanes."""

import signal
import sys

# Ctrl-C while everything is still being imported ends the process without a traceback; later it is handled.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from worker.process.main import main  # noqa: E402 - after the line above

if __name__ == "__main__":
    sys.exit(main())

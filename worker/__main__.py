"""`python -m worker [--burst] [--processes N]`: run the worker."""

import signal
import sys

# Ctrl-C during the imports ends the process without a traceback; later the worker handles it.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from worker.process.main import main  # noqa: E402 - after the line above

if __name__ == "__main__":
    sys.exit(main())

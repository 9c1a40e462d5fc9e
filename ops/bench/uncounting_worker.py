"""`python -m ops.bench.uncounting_worker`: a worker that counts and measures nothing about itself.

The benchmark of the metrics compares workers with it.
"""

from __future__ import annotations

import sys
from typing import Any

from producers.monitor.instruments import Counter, Histogram
from worker.attempt.observation import AttemptObserver
from worker.process.main import main


def _ignore(*_: Any) -> None:
    """Take the place of what counts."""


COUNTING = (
    (Counter, "add"),
    (Histogram, "observe"),
    (AttemptObserver, "observe_failure"),
    (AttemptObserver, "observe_reply"),
    (AttemptObserver, "observe_settlement"),
)

if __name__ == "__main__":
    for owner, name in COUNTING:
        setattr(owner, name, _ignore)
    sys.exit(main())

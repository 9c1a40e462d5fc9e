"""`python -m ops.bench.sampled_worker`: a worker that counts on what it spends its CPU time.

SIGUSR2 starts the sampler, and stops it the next time. At the end the worker writes the samples, by part, as JSON to
the file that BENCH_SAMPLES names.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from ops.bench.cpu_sampler import CpuSampler
from worker.process.main import main

SAMPLES = "BENCH_SAMPLES"
START_OR_STOP = signal.SIGUSR2


def run() -> int:
    """Run the worker. Return its exit status."""
    path, sampler = Path(os.environ[SAMPLES]), CpuSampler()
    steps = iter([sampler.start, sampler.stop])
    signal.signal(START_OR_STOP, lambda *_: next(steps)())
    try:
        return main()
    finally:
        sampler.stop()
        path.write_bytes(msgspec.json.encode(sampler.samples))


if __name__ == "__main__":
    sys.exit(run())

"""Memory: a worker's resident set while it drains very many changes. Linux only."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import Measurement, at_most

CHANGES = 200_000
USERS = 10_000
BATCH_SIZE = 5_000
SAMPLE_INTERVAL_S = 1.0
DRAIN_TIMEOUT_S = 1800.0
MIB = 1 << 20
MAX_GROWTH_MIB = 2
SHORT_RESULT_TTL = {"COPYTRADE_RESULT_TTL_S": "15"}
"""Keeps Redis small; only the worker is measured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the worker's memory.

    Attributes:
        finished: how many changes had ended.
        resident_mib: its resident set.
    """

    finished: int
    resident_mib: float


async def memory(changes: int = CHANGES) -> list[Measurement]:
    """Measure one worker process that drains changes of 10,000 users, without rate limits."""
    users = [f"u{number}" for number in range(min(USERS, changes))]
    environ = NO_RATE_LIMITS | SHORT_RESULT_TTL
    async with environment(users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=environ) as env:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            samples = await _drain(env, users, changes)
    return measurements(samples, changes)


def measurements(samples: Sequence[Sample], changes: int) -> list[Measurement]:
    """Return the memory after a tenth, half and all of the changes, and its growth over the second half."""
    milestones = [changes // 10, changes // 2, changes]
    second_half = [sample for sample in samples if sample.finished >= changes // 2]
    growth_mib = slope_mib([sample.finished for sample in second_half], [sample.resident_mib for sample in second_half])
    name = f"growth over the last {changes - changes // 2:,}, by the slope of {len(second_half)} samples"
    return [
        *(Measurement(f"worker's memory after {n:,} changes", memory_at(samples, n), "MiB") for n in milestones),
        at_most(name, growth_mib * (changes - changes // 2), "MiB", MAX_GROWTH_MIB),
    ]


def slope_mib(finished: Sequence[int], resident: Sequence[float]) -> float:
    """Return the growth in MiB a change, by least squares; 0 for too few different samples."""
    return statistics.linear_regression(finished, resident).slope if len(set(finished)) > 1 else 0.0


def memory_at(samples: Sequence[Sample], finished: int) -> float:
    """Return the memory at the first sample with that many finished changes."""
    return next(sample.resident_mib for sample in samples if sample.finished >= finished)


async def _drain(env: Environment, users: Sequence[str], changes: int) -> list[Sample]:
    """Enqueue in batches, at most two ahead of the worker, and sample until all changes have ended."""
    pid = env.stack.workers[0].pid
    enqueued, samples = 0, [Sample(0, 0.0)]
    while samples[-1].finished < changes:
        while enqueued < changes and enqueued - samples[-1].finished < 2 * BATCH_SIZE:
            numbers = range(enqueued, min(enqueued + BATCH_SIZE, changes))
            report = await env.producer.enqueue_many(change(users[n % len(users)], n + 1) for n in numbers)
            enqueued += len(report.jobs)
        await asyncio.sleep(SAMPLE_INTERVAL_S)
        samples.append(Sample(await env.count_finished(), _resident_mib(pid)))
    return samples


def _resident_mib(pid: int) -> float:
    """Return the resident set of a process: the second number in its statm is in pages."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB

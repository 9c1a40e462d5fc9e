"""Whether a worker's memory stays flat: its resident set while it drains very many changes. Linux only."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ops.bench.figures import Figure, at_most
from ops.bench.lab import DOUBLE_OUT_OF_THE_WAY, OUT_OF_THE_WAY, Lab, change, lab
from producers.contract.keyspace import COUNTS

CHANGES = 200_000
USERS = 10_000
PORTION = 5_000
SAMPLE_S = 1.0
PATIENCE_S = 1800.0
MIB = 1 << 20
MOST_GROWTH_MIB = 2
SHORT_LIVED = {"COPYTRADE_RESULT_TTL_S": "15"}
"""Redis is not what is measured here; it may stay small."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the worker.

    Attributes:
        ended: how many changes it had ended.
        resident_mib: its resident set.
    """

    ended: int
    resident_mib: float


async def memory(changes: int = CHANGES) -> list[Figure]:
    """One worker process drains so many changes of 10,000 users, limits out of the way."""
    users = [f"u{number}" for number in range(min(USERS, changes))]
    environ = OUT_OF_THE_WAY | SHORT_LIVED
    async with lab(users, workers=1, double_options=DOUBLE_OUT_OF_THE_WAY, environ=environ) as bench:
        async with asyncio.timeout(PATIENCE_S):
            samples = await _drained(bench, users, changes)
    return figures(samples, changes)


def figures(samples: Sequence[Sample], changes: int) -> list[Figure]:
    """The resident set after a tenth, a half and all of the changes, and its growth over the second half.

    Args:
        samples: in their order.
        changes: how many there were in all.
    """
    marks = [changes // 10, changes // 2, changes]
    second_half = [sample for sample in samples if sample.ended >= changes // 2]
    growth_mib = slope_mib([sample.ended for sample in second_half], [sample.resident_mib for sample in second_half])
    return [
        *(Figure(f"worker's memory after {mark:,} changes", resident_mib(samples, mark), "MiB") for mark in marks),
        at_most(
            f"growth over the last {changes - changes // 2:,}, by the slope of {len(second_half)} samples",
            growth_mib * (changes - changes // 2),
            "MiB",
            MOST_GROWTH_MIB,
        ),
    ]


def slope_mib(ended: Sequence[int], resident: Sequence[float]) -> float:
    """MiB a change, by least squares; 0 if there is too little to tell."""
    return statistics.linear_regression(ended, resident).slope if len(set(ended)) > 1 else 0.0


def resident_mib(samples: Sequence[Sample], ended: int) -> float:
    """At the first sample with so many ended."""
    return next(sample.resident_mib for sample in samples if sample.ended >= ended)


async def _drained(bench: Lab, users: Sequence[str], changes: int) -> list[Sample]:
    """Enqueues in portions, one ahead of the worker, and samples until all have ended."""
    pid = bench.stack.workers[0].pid
    enqueued, samples = 0, [Sample(0, 0.0)]
    while samples[-1].ended < changes:
        while enqueued < changes and enqueued - samples[-1].ended < 2 * PORTION:
            numbers = range(enqueued, min(enqueued + PORTION, changes))
            report = await bench.producer.enqueue_many(change(users[n % len(users)], n + 1) for n in numbers)
            enqueued += len(report.jobs)
        await asyncio.sleep(SAMPLE_S)
        samples.append(Sample(await _ended(bench), _resident_mib(pid)))
    return samples


async def _ended(bench: Lab) -> int:
    numbers = await cast("Awaitable[list[bytes]]", bench.redis.hvals(COUNTS))
    return sum(map(int, numbers))


def _resident_mib(pid: int) -> float:
    """What /proc tells of a process: the second number is its resident pages."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB

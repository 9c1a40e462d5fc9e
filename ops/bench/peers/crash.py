"""The load `crash`: a worker is killed in mid-work, and another is started at once."""

from __future__ import annotations

import asyncio
import time

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS
from ops.bench.peers.contenders import ARQ_TUNED, DOCKET_10MS, OURS_PLAIN, STREAQ, TASKIQ, Contender
from ops.bench.peers.limited_contenders import SAQ_RETRY
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.processes import kill_family
from ops.bench.peers.recoveries import Recovery
from ops.bench.peers.report import LOWER, Figure
from ops.bench.peers.stage import LOOK_INTERVAL_S, IncompleteError, Stage, change_line, stage
from producers.transport.cancellation import cancel_and_wait

JOBS = 4_000
SENT_BEFORE = 400
"""The kill comes after so many requests. Jobs are enqueued for 18 s more: taskiq looks for those of a dead worker only
when a new one comes."""

LATENCY_MS = 200
TRICKLE_PER_S = 200
"""As `programs/protocol.py` has it."""

RECOVERY_S = 10
"""Each peer is told to take a dead worker's jobs after this time."""

START_TIMEOUT_S = 60.0
TIMEOUT_S = 60.0
"""From the kill; what has not been sent again by then does not count as recovered."""


async def crash(contender: Contender, jobs: int | None = None) -> Figures:
    """Enqueue for a worker that runs, kill it in mid-work, and see what another does of its jobs.

    Args:
        contender: the program.
        jobs: how many jobs; None for the load's own number.

    Raises:
        IncompleteError: no job was in flight at the kill.
    """
    users = [f"u{number}" for number in range(jobs or JOBS)]
    options = (*DOUBLE_NO_RATE_LIMITS, "--latency-ms", str(LATENCY_MS))
    async with (
        stage(contender, users, double_options=options, recovery_s=RECOVERY_S) as running,
        running.worker() as worker,
    ):
        enqueuing = asyncio.create_task(running.run("trickle", map(change_line, users)))
        try:
            await running.wait_for_arrivals(min(SENT_BEFORE, len(users) // 2), START_TIMEOUT_S)
            killed_ns = await kill_family(worker)
            async with running.worker():
                await enqueuing
                recovery = await _wait(running, users, killed_ns)
        finally:
            await cancel_and_wait(enqueuing)
    if not recovery.in_flight:
        raise IncompleteError("no job was in flight when the worker was killed")
    return recovery.figures()


async def _wait(running: Stage, users: list[str], killed_ns: int) -> Recovery:
    """Return what became of the jobs: when all have been sent, those in flight again, or at the end of the time."""
    await asyncio.sleep(2 * LATENCY_MS / 1000)  # until the double has noticed each reply that it cannot send
    while True:
        recovery = Recovery(users, await running.stack.arrivals(), killed_ns)
        if recovery.is_complete or time.monotonic_ns() > killed_ns + TIMEOUT_S * 1e9:
            return recovery
        await asyncio.sleep(LOOK_INTERVAL_S)


FIGURES = (
    Figure("first_s", "kill to the next request of a job in flight, the first, s", LOWER),
    Figure("last_s", "the same, the last, s", LOWER),
    Figure("unrecovered_percent", f"of those in flight, not sent again in {TIMEOUT_S:g} s, %", LOWER),
    Figure("unsent", f"jobs never sent in {TIMEOUT_S:g} s", LOWER),
    Figure("doubled", "jobs sent again after a success", LOWER),
)

CRASH = Plan(
    "crash",
    "Crash: kill -9 of a worker in mid-work",
    f"{JOBS:,} changes of as many users are enqueued for a worker that runs, {TRICKLE_PER_S} a second, and the double "
    f"answers after {LATENCY_MS} ms without limits, so that some forty jobs are in flight. After some {SENT_BEFORE} "
    "requests the worker and its children are killed by SIGKILL. Another worker is started at once; its start-up "
    f"time is included. Each peer is told to take a dead worker's jobs after {RECOVERY_S} s, arq after 11 s: "
    "`idle_timeout` of streaq (60 s by default) and of taskiq (600 s), `redelivery_timeout` of docket (300 s), "
    "`job_timeout` of arq (300 s; 1 s here, to which it adds 10 s), and the pause between two sweeps of saq (60 s), "
    "which takes a job for stuck after 10 s and ends it unless `retries` is set, as it is here; a sweep waits up to "
    "5 s for each stuck job before the next. This project has its default, 2 s. So the order is mostly that of these "
    "times; 10 s is our choice, as long as a job may take. A job is in flight if its request was sent and not answered "
    "before the kill. Jobs never sent are those that the killed worker had fetched ahead. A job that is sent again "
    "after a success had no result stored when the worker was killed. A cell is empty if no job was sent again within "
    f"{TIMEOUT_S:g} s.",
    FIGURES,
    (OURS_PLAIN, ARQ_TUNED, SAQ_RETRY, TASKIQ, STREAQ, DOCKET_10MS),
    crash,
)

"""The load `drain`: 5,000 users with one change each, no limits, one worker process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from ops.bench.measurement import rate_per_s
from ops.bench.peers.arrivals import shortfalls
from ops.bench.peers.contenders import BARE_LOOP, OURS_PLAIN, OURS_WITH_64, PEERS, Contender
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.processes import CpuLog
from ops.bench.peers.report import BARE, HIGHER, LOWER, Figure
from ops.bench.peers.stage import IncompleteError, Stage, change_line, stage
from ops.children import child_group
from producers.transport.cancellation import cancel_and_wait

JOBS = 5_000
WARM_UP_USERS = [f"w{number}" for number in range(10)]
"""Their jobs are done by another worker before: scripts are loaded into the server then."""

DRAIN_TIMEOUT_S = 180.0
SETTLE_S = 0.5
"""From the last arrival until the server is asked what it has done: results are written meanwhile."""

RESULTS_TIMEOUT_S = 120.0


async def drain(contender: Contender, jobs: int | None = None) -> Figures:
    """Enqueue all, then start the worker, and measure from the first arrival to the last.

    Raises:
        IncompleteError: some jobs did not arrive once, or have no result.
    """
    users = [f"u{number}" for number in range(jobs or JOBS)]
    async with stage(contender, [*WARM_UP_USERS, *users], jobs_at_once=contender.drain_at_once) as running:
        if contender.name == BARE:
            return await _bare(running, len(users))
        await _warm_up(running)
        enqueued = await running.run("enqueue", map(change_line, users))
        before = await running.load()
        async with running.worker() as worker:
            cpu = CpuLog(worker.pid)
            following = asyncio.create_task(cpu.follow())
            await running.wait_for_arrivals(len(users), DRAIN_TIMEOUT_S)
            await asyncio.sleep(SETTLE_S)
            after = await running.load()
            await cancel_and_wait(following)
            arrivals_ns = await _check(running, users, stored=len(WARM_UP_USERS))
    return {
        "rate_per_s": rate_per_s(arrivals_ns),
        "cpu_us": cpu.between(min(arrivals_ns), max(arrivals_ns)) / len(users),
        "redis_commands": (after.commands - before.commands) / len(users),
        "redis_cpu_us": (after.cpu_us - before.cpu_us) / len(users),
        "enqueue_per_s": enqueued["enqueued"] / enqueued["elapsed_s"],
    }


async def _warm_up(running: Stage) -> None:
    """Have a first worker do a few jobs, and stop it."""
    async with running.worker():
        await running.run("enqueue", map(change_line, WARM_UP_USERS))
        await running.wait_for_arrivals(len(WARM_UP_USERS), DRAIN_TIMEOUT_S)
        await _check(running, WARM_UP_USERS)
    await running.stack.reset()


async def _check(running: Stage, users: Sequence[str], *, stored: int = 0) -> list[int]:
    """Return all times of arrival once all jobs have results; `stored` results are of earlier jobs."""
    wrong: list[str] = []
    try:
        async with asyncio.timeout(RESULTS_TIMEOUT_S):
            while True:
                arrivals_ns = await running.arrivals_ns()
                wrong = shortfalls(users, arrivals_ns, (await running.run("results"))["applied"] - stored)
                if not wrong:
                    return [at_ns for times in arrivals_ns.values() for at_ns in times]
    except TimeoutError:
        raise IncompleteError("; ".join(wrong) or running.log_tail()) from None


async def _bare(running: Stage, jobs: int) -> Figures:
    """Measure the bare loop, in a process of its own like the workers."""
    command = (sys.executable, "-m", "ops.bench.peers.bare", running.stack.exchange_url, str(jobs))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, process_group=child_group()
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise IncompleteError(f"the loop ended with exit status {process.returncode}")
    return msgspec.json.decode(output, type=Figures)


FIGURES = (
    Figure("rate_per_s", "jobs a second", HIGHER),
    Figure("ratio", "of the bare loop", HIGHER),
    Figure("cpu_us", "worker's CPU a job, us", LOWER),
    Figure("redis_commands", "Redis commands a job", LOWER),
    Figure("redis_cpu_us", "Redis's CPU a job, us", LOWER),
    Figure("enqueue_per_s", "enqueued a second", HIGHER),
)

DRAIN = Plan(
    "drain",
    f"Drain: {JOBS:,} users with one change each",
    f"A first worker does {len(WARM_UP_USERS)} jobs and is stopped. Then {JOBS:,} changes are enqueued, and one "
    "worker process is started. The time runs from the first request at the exchange double to the last; the double "
    "has no limits. Redis's commands and CPU time are those while it drains, without the enqueueing; commands inside "
    "scripts and MULTI count. Programs that have a call for many changes enqueue by it (this project, streaq, "
    "docket), the others by 64 calls at once.",
    FIGURES,
    (BARE_LOOP, OURS_PLAIN, OURS_WITH_64, *PEERS),
    drain,
)

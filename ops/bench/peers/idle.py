"""The load `idle`: one job at a time on a worker that has nothing else to do."""

from __future__ import annotations

import asyncio
import random
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from ops.bench.measurement import NS_PER_MS, percentile
from ops.bench.peers.arrivals import shortfalls
from ops.bench.peers.contenders import OURS_PLAIN, PEERS, Contender
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.report import LOWER, Figure
from ops.bench.peers.stage import IncompleteError, Stage, change_line, stage
from ops.stack import stop

JOBS = 20
"""In each way of waiting."""

WARM_UP = 3
"""Jobs before the first that is measured: connections are opened meanwhile."""

IDLE_S = 10.0
FAST_POLL_S = 0.01
MAX_PAUSE_S = 0.5
"""A caller pauses for a random time between two jobs, so that they come at any moment of a worker's poll."""

CALL_TIMEOUT_S = 30.0


class _Times(msgspec.Struct):
    called_ns: int
    seen_ns: int


@dataclass(slots=True)
class _Caller:
    """A process that enqueues one change at a time and waits for its result."""

    process: Process
    running: Stage

    async def call(self, user: str, poll_s: float | None) -> _Times:
        """Have it enqueue a change of a user and wait for the result."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None  # noqa: S101 - it is a pipe
        assert stdout is not None  # noqa: S101 - it is a pipe
        stdin.write(msgspec.json.encode({"change": msgspec.Raw(change_line(user)), "poll_s": poll_s}) + b"\n")
        await stdin.drain()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return msgspec.json.decode(await stdout.readline(), type=_Times)
        except (TimeoutError, msgspec.DecodeError):
            raise IncompleteError(f"a caller did not see its result: {self.running.log_tail()}") from None


async def idle(contender: Contender, jobs: int | None = None) -> Figures:
    """Measure an idle worker's Redis commands, then single jobs.

    Raises:
        IncompleteError: some jobs did not arrive once, or have no result.
    """
    count = jobs or JOBS
    users = [f"u{number}" for number in range(WARM_UP + 2 * count)]
    async with stage(contender, users) as running, running.worker(), _caller(running) as caller:
        for user in users[:WARM_UP]:
            await caller.call(user, FAST_POLL_S)
        before = await running.load()
        await asyncio.sleep(IDLE_S)
        after = await running.load()
        plain = await _call_each(caller, users[WARM_UP : WARM_UP + count], None)
        fast = await _call_each(caller, users[WARM_UP + count :], FAST_POLL_S)
        arrivals_ns = await running.arrivals_ns()
        if wrong := shortfalls(users, arrivals_ns, (await running.run("results"))["applied"]):
            raise IncompleteError("; ".join(wrong))
    arrival_ms = [_ms(times.called_ns, arrivals_ns[user][0]) for user, times in (plain | fast).items()]
    return {
        "arrival_p50_ms": percentile(arrival_ms, 50),
        "arrival_p90_ms": percentile(arrival_ms, 90),
        "result_p50_ms": percentile([_ms(times.called_ns, times.seen_ns) for times in plain.values()], 50),
        "fast_result_p50_ms": percentile([_ms(times.called_ns, times.seen_ns) for times in fast.values()], 50),
        "idle_commands_per_s": (after.commands - before.commands) / IDLE_S,
    }


async def _call_each(caller: _Caller, users: Sequence[str], poll_s: float | None) -> dict[str, _Times]:
    times = {}
    for user in users:
        await asyncio.sleep(random.uniform(0, MAX_PAUSE_S))
        times[user] = await caller.call(user, poll_s)
    return times


@asynccontextmanager
async def _caller(running: Stage) -> AsyncIterator[_Caller]:
    process = await running.start("call")
    try:
        yield _Caller(process, running)
    finally:
        await stop(process)


def _ms(first_ns: int, last_ns: int) -> float:
    return (last_ns - first_ns) / NS_PER_MS


FIGURES = (
    Figure("arrival_p50_ms", "enqueue to exchange, median, ms", LOWER),
    Figure("arrival_p90_ms", "the same, p90, ms", LOWER),
    Figure("result_p50_ms", "enqueue to result, median, ms", LOWER),
    Figure("fast_result_p50_ms", "the same, looked for every 10 ms, ms", LOWER),
    Figure("idle_commands_per_s", "Redis commands a second when idle", LOWER),
)

IDLE = Plan(
    "idle",
    "Idle: one job at a time",
    f"Another process enqueues {JOBS} changes, each up to {MAX_PAUSE_S:g} s after it has seen the last one's result; "
    f"it waits as the program's documentation shows. Then {JOBS} more, whose results it looks for every "
    f"{1000 * FAST_POLL_S:g} ms where the program polls for them; the arrivals are of both. Before, {IDLE_S:g} s "
    "without any job.",
    FIGURES,
    (OURS_PLAIN, *PEERS),
    idle,
)

"""The load `limited`: one user with many changes beside others with a few, at the exchange's limit of each user."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from ops.bench.environment import NO_RATE_LIMITS
from ops.bench.peers.contenders import Contender
from ops.bench.peers.lanes import BUSY_CHANGES, LIMIT_PER_S, Applied, figures, floor_s
from ops.bench.peers.limited_contenders import LIMITED_CONTENDERS
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.report import LOWER, Figure
from ops.bench.peers.stage import LOOK_INTERVAL_S, Stage, change_line, stage

BUSY = "busy"
NEIGHBOURS = [f"n{number}" for number in range(20)]
CHANGES_EACH = 5
WARM_UP_USER = "w"

TIMEOUT_S = 180.0
"""What has not been applied by then is lost."""

QUIET_S = 15.0
"""Without a request for so long, a program has given up."""

WARM_UP_TIMEOUT_S = 30.0
EGRESS = "COPYTRADE_EGRESS_RATE_PER_S"
ONLY_USER_LIMITS = {EGRESS: NO_RATE_LIMITS[EGRESS]}
DOUBLE_OPTIONS = ("--user-rate-per-s", str(LIMIT_PER_S), "--egress-per-min", "100000000")


async def limited(delays: tuple[str, ...], contender: Contender, jobs: int | None = None) -> Figures:
    """Enqueue the changes of the one user, then those of the others, for a worker that runs.

    Args:
        delays: the double's options for them.
        contender: the program.
        jobs: how many changes the one user has; None for 300.
    """
    busy = [change_line(BUSY, number + 1) for number in range(jobs or BUSY_CHANGES)]
    others = [change_line(user, number + 1) for number in range(CHANGES_EACH) for user in NEIGHBOURS]
    users = [WARM_UP_USER, BUSY, *NEIGHBOURS]
    options = (*DOUBLE_OPTIONS, *delays)
    async with (
        stage(contender, users, double_options=options, rate_limits=ONLY_USER_LIMITS) as running,
        running.worker(),
    ):
        await running.run("enqueue", [change_line(WARM_UP_USER)])
        await running.wait_for_arrivals(1, WARM_UP_TIMEOUT_S)
        await running.stack.reset()
        await running.run("enqueue", busy)
        called_ns = (await running.run("enqueue", others))["called_ns"]
        applied = await _wait(running, len(busy) + len(others))
    return figures(applied, busy=BUSY, expected=len(busy) + len(others), called_ns=called_ns)


async def _wait(running: Stage, expected: int) -> Applied:
    """Return what was applied: all, or what was by the end of the time or when the program had given up."""
    end_s = time.monotonic() + TIMEOUT_S
    arrived, quiet_since_s = 0, time.monotonic()
    while True:
        arrivals = await running.stack.arrivals()
        applied, now_s = Applied(arrivals), time.monotonic()
        if len(arrivals) > arrived:
            arrived, quiet_since_s = len(arrivals), now_s
        if len(applied.at_ns) == expected or now_s > min(end_s, quiet_since_s + QUIET_S):
            return applied
        await asyncio.sleep(LOOK_INTERVAL_S)


FIGURES = (
    Figure("over_floor_s", "time over the floor, s", LOWER),
    Figure("peak_in_1s", "most of one user in a second", LOWER),
    Figure("throttled", "429s", LOWER),
    Figure("inversions", "changes out of order", LOWER),
    Figure("lost", "changes lost", LOWER),
    Figure("repeated", "changes applied again", LOWER),
    Figure("neighbours_p50_ms", "the others, enqueue to exchange, median, ms", LOWER),
    Figure("neighbours_p99_ms", "the same, p99, ms", LOWER),
)


def _plan(name: str, title: str, *delays: str) -> Plan:
    return Plan(
        f"limited-{name}",
        f"Limited: {BUSY_CHANGES} changes of one user beside {len(NEIGHBOURS)} with {CHANGES_EACH} each, {title}",
        f"The double refuses a user's requests above {LIMIT_PER_S} in any sliding second, refused ones among them, so "
        f"that {BUSY_CHANGES} take {floor_s(BUSY_CHANGES):g} s at least from the first to the last: that is the "
        "floor. The one user's changes are more than any program has jobs at once. They are enqueued first, then the "
        "others' by another process; a worker runs all the time. A change is out of order if it was applied after a "
        f"later one of its user and trader. It is lost if it was not applied within {TIMEOUT_S:g} s, or when no "
        f"request has come for {QUIET_S:g} s. This project's limit of a user is as it comes, and its limit of the "
        "address is out of reach, as the double has none.",
        FIGURES,
        LIMITED_CONTENDERS,
        partial(limited, delays),
    )


LIMITED_0MS = _plan("0ms", "replies at once")
LIMITED_40MS = _plan("40ms", "replies after 40 to 50 ms", "--latency-ms", "40", "--jitter-ms", "10")

"""What a change costs Redis: under load, from its enqueueing until its result is written, and at an egress's limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, change, environment
from ops.bench.measurement import Measurement, at_most
from ops.bench.throughput import USERS, drain

LIMITED_USERS, LIMITED_S = 2_000, 10.0

MAX_COMMANDS = 20
MAX_CPU_US = 60
US_PER_S = 1_000_000
POLL_INTERVAL_S = 0.2
"""Looks at the count of finished changes are commands too; at this interval they are about 0.003 a change."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a server has done so far.

    Attributes:
        commands: the commands executed, INFO excepted.
        cpu_us: the CPU time of its main thread, which executes them, or of the whole server before version 6.2.
    """

    commands: int
    cpu_us: float

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Self:
        """Read the reply to INFO with all sections.

        The sum of commandstats counts each EVALSHA once, and each command inside its script once. Valkey 9.1 counts
        `total_commands_processed` in the same way.
        """
        commands = sum(
            statistics["calls"]
            for name, statistics in info.items()
            if name.startswith("cmdstat_") and name != "cmdstat_info"
        )
        thread = "_main_thread" if "used_cpu_user_main_thread" in info else ""
        return cls(commands, US_PER_S * (info[f"used_cpu_user{thread}"] + info[f"used_cpu_sys{thread}"]))


async def redis_load() -> list[Measurement]:
    """Measure 10,000 users with one change each and one worker process, without rate limits."""
    users = [f"u{number}" for number in range(USERS)]
    async with environment(users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        before = Load.from_info(await env.redis.info("all"))
        rate = await drain(env, POLL_INTERVAL_S)
        after = Load.from_info(await env.redis.info("all"))
    return [*measurements(before, after, USERS, rate), *[await _at_the_limit(workers) for workers in (1, 2)]]


async def _at_the_limit(workers: int) -> Measurement:
    """Measure what a backlog costs that one egress drains at its limit, 100 a second: claims are small then."""
    users = [f"u{number}" for number in range(LIMITED_USERS)]
    async with environment(users, workers=workers) as env:
        await env.producer.enqueue_many(change(user) for user in users)
        await asyncio.sleep(LIMITED_S / 2)
        finished, before = await env.count_finished(), Load.from_info(await env.redis.info("all"))
        await asyncio.sleep(LIMITED_S)
        ended, after = await env.count_finished() - finished, Load.from_info(await env.redis.info("all"))
    figure = f"one egress at its limit, {workers} {'worker' if workers == 1 else 'workers'}: CPU time of Redis"
    return Measurement(figure, (after.cpu_us - before.cpu_us) / ended, "us a change")


def measurements(before: Load, after: Load, changes: int, rate: float) -> list[Measurement]:
    """Return the load of each change, and the changes a second of the same run."""
    commands, cpu_us = (after.commands - before.commands) / changes, (after.cpu_us - before.cpu_us) / changes
    return [
        at_most("under load: Redis commands, those inside scripts included", commands, "a change", MAX_COMMANDS),
        at_most("under load: CPU time of Redis", cpu_us, "us a change", MAX_CPU_US),
        Measurement("the same run: 10,000 users with one change each, one worker", rate, "changes/s"),
    ]

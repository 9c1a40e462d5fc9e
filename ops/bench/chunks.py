"""Chunks: how long Redis executes one script or command while a producer works on a very large queue.

Redis serves nobody else meanwhile. The times are the server's own, from SLOWLOG. They are elapsed times: another load
of the machine lengthens them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import Measurement, at_most
from ops.stack import stop
from producers import Job

MAX_MS = 5
BATCH = 100_000
LANE = 20_000
LETTERS = 20_000
TRADER_LANES = 50_000
BATCHES = 10_000
"""The most that one listing returns."""

SAMPLE = 500
CONCURRENT = 50
US_PER_MS = 1000
LOGGED_US = 100
"""Times from here on are logged. If nothing takes as long, the figure is 0."""

MAX_LOGGED = 1_000_000
SCRIPTS = (b"EVAL", b"FCALL")
PERMANENT_FAULT = {"kind": "code:12001"}
"""A reply with which the change ends `rejected`."""


@dataclass(slots=True)
class Longest:
    """The longest executions within `observed`.

    Attributes:
        script_ms: the time of the longest script, milliseconds; 0.0 if it was below `LOGGED_US`.
        usual_ms: the same without the longest of each thousand scripts, which the system may have interrupted.
        command_ms: the same of the longest other command, within a script or not.
    """

    script_ms: float = 0.0
    usual_ms: float = 0.0
    command_ms: float = 0.0

    def read(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Take the times from the entries of SLOWLOG."""
        times_us: dict[bool, list[int]] = {True: [], False: []}
        for entry in entries:
            if not entry["command"].startswith(b"SLOWLOG"):  # the measurement's own
                times_us[entry["command"].startswith(SCRIPTS)].append(entry["duration"])
        scripts_us = sorted(times_us[True], reverse=True) or [0]
        self.script_ms, self.usual_ms = scripts_us[0] / US_PER_MS, scripts_us[len(scripts_us) // 1000] / US_PER_MS
        self.command_ms = max(times_us[False], default=0) / US_PER_MS


@asynccontextmanager
async def observed(env: Environment) -> AsyncIterator[Longest]:
    """Measure what Redis executes within the context."""
    longest = Longest()
    await env.redis.slowlog_reset()
    yield longest
    longest.read(await env.redis.slowlog_get(MAX_LOGGED))


async def chunks() -> list[Measurement]:
    """Measure operations of a producer on large batches, lanes and listings; no worker runs meanwhile."""
    users = [f"u{number}" for number in range(LETTERS)]
    longest_by_name: dict[str, Longest] = {}
    async with environment(users, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        await env.redis.config_set("slowlog-log-slower-than", LOGGED_US)
        await env.redis.config_set("slowlog-max-len", MAX_LOGGED)
        for measure in (_cancel_batch, _cancel_user, _cancel_one_by_one, _list_batches, _dead_letter, _resume_trader):
            longest_by_name |= await measure(env)
            await env.redis.flushall()
    return [
        measurement
        for name, longest in longest_by_name.items()
        for measurement in (
            at_most(f"{name}: longest script", longest.script_ms, "ms", MAX_MS),
            Measurement(f"{name}: the same but for one in a thousand", longest.usual_ms, "ms"),
            Measurement(f"{name}: longest other command", longest.command_ms, "ms"),
        )
    ]


async def _cancel_batch(env: Environment) -> dict[str, Longest]:
    template = change("template")
    batch = await env.producer.fan_out(
        trader_id=template.trader_id, settings=template.settings, user_ids=(f"u{number}" for number in range(BATCH))
    )
    async with observed(env) as longest:
        report = await batch.cancel()
    _check(report.cancelled, BATCH)
    return {"cancelling a batch of 100,000": longest}


async def _cancel_user(env: Environment) -> dict[str, Longest]:
    await _fill_lane(env)
    async with observed(env) as longest:
        report = await env.producer.cancel_user("u0")
    _check(report.cancelled, LANE)
    return {"cancelling a user with 20,000 changes in one lane": longest}


async def _cancel_one_by_one(env: Environment) -> dict[str, Longest]:
    jobs = await _fill_lane(env)
    longest_by_name = {}
    for end, some in (("front", jobs[:SAMPLE]), ("back", jobs[: -SAMPLE - 1 : -1])):
        async with observed(env) as longest:
            for job in some:
                await job.cancel()
        longest_by_name[f"cancelling 500 of 20,000 in one lane, one by one from the {end}"] = longest
    return longest_by_name


async def _list_batches(env: Environment) -> dict[str, Longest]:
    template = change("template")

    async def create(number: int) -> None:
        await env.producer.fan_out(
            trader_id=template.trader_id, settings=template.settings, user_ids=[f"u{number}"], batch_id=f"b{number}"
        )

    for first in range(0, BATCHES, CONCURRENT):
        await asyncio.gather(*(create(number) for number in range(first, first + CONCURRENT)))
    async with observed(env) as longest:
        listing = await env.producer.batches(BATCHES)
    _check(len(listing), BATCHES)
    return {"listing 10,000 batches": longest}


async def _dead_letter(env: Environment) -> dict[str, Longest]:
    await env.stack.set_faults(PERMANENT_FAULT)
    (worker,) = await env.stack.start_workers(1)
    report = await env.producer.enqueue_many(change(f"u{number}") for number in range(LETTERS))
    await env.wait_until_finished(LETTERS)
    await stop(worker)
    _check(sum((await env.producer.dead.counts()).values()), LETTERS)
    async with observed(env) as longest:
        for job in report.jobs[:: LETTERS // SAMPLE]:
            await env.producer.dead.get(job.job_id)
    return {"reading one of 20,000 dead letters": longest}


async def _resume_trader(env: Environment) -> dict[str, Longest]:
    template = change("template")
    await env.producer.pause(trader_id=template.trader_id)
    await env.producer.fan_out(
        trader_id=template.trader_id,
        settings=template.settings,
        user_ids=(f"u{number}" for number in range(TRADER_LANES)),
    )
    async with observed(env) as longest:
        await env.producer.resume(trader_id=template.trader_id)
    return {"resuming a trader with 50,000 lanes": longest}


async def _fill_lane(env: Environment) -> list[Job]:
    report = await env.producer.enqueue_many(change("u0", number + 1) for number in range(LANE))
    _check(len(report.jobs), LANE)
    return report.jobs


def _check(count: int, expected: int) -> None:
    if count != expected:
        raise RuntimeError(f"{count} instead of {expected}: the measurement would not be of the whole")

"""Where the CPU time of a change goes: in a worker under load, and in Redis beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, environment
from ops.bench.measurement import Measurement
from ops.bench.metrics import cpu_s
from ops.bench.peers.report import Part, Profile
from ops.bench.redis_load import POLL_INTERVAL_S
from ops.bench.redis_time import OUTSIDE, by_command, by_script, cpu_us
from ops.bench.sampled_worker import SAMPLES, START_OR_STOP
from ops.bench.throughput import USERS, drain
from ops.children import temporary_folder
from ops.stack import stop
from producers.transport.clients import keyspace_of

DRAINS = 3
LOGGED_US = 10
"""SLOWLOG has scripts that take at least as long; nearly all commands inside them take less."""

MAX_LOGGED = 1_000_000
US_PER_S = 1_000_000
BY_SCRIPT = "Redis, its CPU time by script"
BUSY = "; the machine was busy, and what is outside of scripts could not be measured"


async def profile() -> list[Measurement]:
    """Measure the profiles, and return each part as a measurement."""
    return [
        Measurement(f"{each.title}: {part.part}", part.us_per_change, "us a change")
        for each in await profiles()
        for part in each.rows
    ]


async def profiles(users: int = USERS, drains: int = DRAINS) -> list[Profile]:
    """Measure one worker process while it drains changes of `users` users, without rate limits.

    Args:
        users: with one change in each drain.
        drains: how many are measured, after one to warm up.
    """
    names = [f"u{number}" for number in range(users)]
    changes = users * drains
    with temporary_folder("bench-profile-") as folder, _core_for_redis() as give_core:
        samples = folder / "samples.json"
        async with environment(names, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
            (worker,) = await env.stack.start_workers(1, module="ops.bench.sampled_worker", **{SAMPLES: str(samples)})
            give_core((await env.redis.info("server"))["process_id"])
            await drain(env, POLL_INTERVAL_S, users=users)
            await env.redis.config_set("slowlog-log-slower-than", LOGGED_US)
            await env.redis.config_set("slowlog-max-len", MAX_LOGGED)
            await env.redis.slowlog_reset()
            before, worker_before_s = await env.redis.info("all"), cpu_s(worker)
            os.kill(worker.pid, START_OR_STOP)
            for _ in range(drains):
                await drain(env, POLL_INTERVAL_S, users=users)
            os.kill(worker.pid, START_OR_STOP)
            worker_us = US_PER_S * (cpu_s(worker) - worker_before_s)
            after, entries = await env.redis.info("all"), await env.redis.slowlog_get(MAX_LOGGED)
            await stop(worker)
            redis_us = cpu_us(before, after)
            scripts = by_script(entries, keyspace_of(env.redis), redis_us)
        return [
            _profile("worker", "One worker process, CPU time by samples", _shared(worker_us, samples), changes),
            _profile("redis", BY_SCRIPT if OUTSIDE in scripts else f"{BY_SCRIPT}{BUSY}", scripts, changes),
            _profile(
                "redis-commands", "Redis, inside scripts, by command", by_command(before, after, redis_us), changes
            ),
        ]


@contextmanager
def _core_for_redis() -> Iterator[Callable[[int], None]]:
    """Leave a core to the process that is given, and use the others meanwhile, with all that this process starts.

    Redis measures its commands by the time that passes: if it shared its core, the time of others would be in it.
    """
    cores = os.sched_getaffinity(0)
    own = {max(cores)} if len(cores) > 1 else cores
    os.sched_setaffinity(0, (cores - own) or cores)
    try:
        yield lambda pid: os.sched_setaffinity(pid, own)
    finally:
        os.sched_setaffinity(0, cores)


def _shared(total_us: float, samples: Path) -> dict[str, float]:
    """Return a CPU time by part, in proportion to the samples."""
    counts = msgspec.json.decode(samples.read_bytes(), type=dict[str, int])
    return {part: total_us * count / sum(counts.values()) for part, count in counts.items()}


def _profile(name: str, title: str, times_us: Mapping[str, float], changes: int) -> Profile:
    """Return a profile, the largest part first."""
    total_us = sum(times_us.values())
    largest_first = sorted(times_us.items(), key=lambda item: -item[1])
    return Profile(name, title, [Part(part, us / changes, us / total_us) for part, us in largest_first])

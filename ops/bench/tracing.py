"""What tracing costs: the same drain without it, with a sampler that takes no trace, and with one that takes all.

Spans are made by OpenTelemetry's SDK and not exported: what an exporter costs is its own.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, environment
from ops.bench.measurement import Measurement
from ops.bench.redis_load import POLL_INTERVAL_S, Load
from ops.bench.throughput import USERS, drain
from producers import Producer
from producers.settings import ProducerSettings

ROUNDS = 5
MODES: dict[str, float | None] = {"off": None, "on, sampler 0": 0.0, "on, sampler 1": 1.0}
"""The share of traces that are sampled; None without tracing."""

US_PER_TICK: float = 1_000_000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one drain took.

    Attributes:
        rate: changes a second, their enqueueing included.
        worker_cpu_us: CPU time of the worker process a change.
        redis_cpu_us: CPU time of Redis a change.
        commands: Redis commands a change, those inside scripts included.
    """

    rate: float
    worker_cpu_us: float
    redis_cpu_us: float
    commands: float


async def tracing() -> list[Measurement]:
    """Measure 10,000 users with one change each and one worker process, in interleaved rounds."""
    costs: dict[str, list[Cost]] = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        for mode, ratio in MODES.items():
            costs[mode].append(await _measure(ratio))
    return [measurement for mode, found in costs.items() for measurement in _measurements(mode, found, costs["off"])]


async def _measure(ratio: float | None) -> Cost:
    users = [f"u{number}" for number in range(USERS)]
    environ = NO_RATE_LIMITS if ratio is None else NO_RATE_LIMITS | _worker_variables(ratio)
    async with environment(users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=environ) as env:
        producer = Producer(env.redis, ProducerSettings(tracing=ratio is not None))
        if ratio is not None:
            # The provider of a process can be set once, so this one is handed to the producer's spans alone.
            tracer = TracerProvider(TraceIdRatioBased(ratio), shutdown_on_exit=False).get_tracer(__name__)
            producer._tracing._tracer = tracer  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        pid = env.stack.workers[0].pid
        before, cpu_before = Load.from_info(await env.redis.info("all")), _cpu_us(pid)
        rate = await drain(replace(env, producer=producer), POLL_INTERVAL_S)
        after, cpu_after = Load.from_info(await env.redis.info("all")), _cpu_us(pid)
    return Cost(
        rate,
        (cpu_after - cpu_before) / USERS,
        (after.cpu_us - before.cpu_us) / USERS,
        (after.commands - before.commands) / USERS,
    )


def _worker_variables(ratio: float) -> dict[str, str]:
    """Return the variables with which the SDK's own provider is that of a process, without an exporter."""
    return {
        "COPYTRADE_TRACING": "true",
        "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(ratio),
    }


def _cpu_us(pid: int) -> float:
    """Return the CPU time of a process: fields 14 and 15 of its stat, in ticks (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * US_PER_TICK


def _measurements(mode: str, costs: Sequence[Cost], off: Sequence[Cost]) -> list[Measurement]:
    def median(name: str) -> float:
        values: list[float] = [getattr(cost, name) for cost in costs]
        return statistics.median(values)

    shares = [cost.worker_cpu_us / other.worker_cpu_us for cost, other in zip(costs, off, strict=True)]
    return [
        Measurement(f"tracing {mode}: one worker, median of {len(costs)} runs", median("rate"), "changes/s"),
        Measurement(f"tracing {mode}: CPU time of the worker", median("worker_cpu_us"), "us a change"),
        Measurement(
            f"tracing {mode}: the same as a share of that without tracing", 100 * statistics.median(shares), "%"
        ),
        Measurement(f"tracing {mode}: CPU time of Redis", median("redis_cpu_us"), "us a change"),
        Measurement(f"tracing {mode}: Redis commands", median("commands"), "a change"),
    ]

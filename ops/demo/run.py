"""Plays a scenario with real processes: a Valkey server, the exchange double, two workers, a gateway; one producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from redis.asyncio import Redis

from ops.demo.evidence import Evidence, Refused
from ops.demo.scenario import ADDRESS_LIMIT_PER_MIN, REQUEST_TIMEOUT_S, USER_LIMIT_PER_S, Planned, Scenario
from ops.ledger.collect import read_arrivals, read_counters, read_final_settings
from ops.ledger.evidence import Change
from ops.redis_server import embedded_valkey
from ops.serving import serving
from ops.stack import Stack, write_credentials
from producers import Batch, Job, JobNotFound, Outcome, Producer, Refusal
from producers.queue.fan_out import member_job_id

WORKERS = 2
WORKER_ENVIRONMENT = {
    "COPYTRADE_USER_RATE_PER_S": f"{USER_LIMIT_PER_S}",
    "COPYTRADE_EGRESS_RATE_PER_S": f"{ADDRESS_LIMIT_PER_MIN / 60}",
    "COPYTRADE_REQUEST_TIMEOUT_S": f"{REQUEST_TIMEOUT_S}",
}
"""The scenario depends on these, so they replace variables of the environment."""
DEADLINE_S = 60.0
"""A change without a result by then counts as lost."""
BATCH = "demo"
BETWEEN_PASSERS_BY_S = 0.2

FAN_OUT, LANE, PASSERS_BY = "fan-out", "long lane", "passers-by"

OnProgress = Callable[[str, int], None]
"""Called with a group and the number of its changes that have ended."""


@dataclass(slots=True)
class _Player:
    """The producer of one run, and what it has seen so far."""

    producer: Producer
    on_progress: OnProgress
    deadline_s: float
    seen: Evidence

    async def play(self, scenario: Scenario) -> None:
        """Enqueue every change and wait for every result."""
        lane = await self.producer.enqueue_many(each.change for each in scenario.lane)
        self._record(scenario.lane, lane.refused, [job.job_id for job in lane.jobs])
        batch = await self.producer.fan_out([each.change for each in scenario.fan_out], batch_id=BATCH)
        refused = [] if batch.report is None else batch.report.refused
        missing = {refusal.index for refusal in refused}
        indexes = [index for index in range(len(scenario.fan_out)) if index not in missing]
        self._record(scenario.fan_out, refused, [member_job_id(BATCH, str(index)) for index in indexes])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wait(lane.jobs))
            tasks.create_task(self._read_results(batch))
            await self._send_passers_by(scenario.passers_by)

    def _record(self, planned: list[Planned], refused: list[Refusal], job_ids: list[str]) -> None:
        reasons = {refusal.index: str(refusal.error) for refusal in refused}
        self.seen.refused += [Refused(planned[index], reason) for index, reason in reasons.items()]
        accepted = [each for index, each in enumerate(planned) if index not in reasons]
        for each, job_id in zip(accepted, job_ids, strict=True):
            self._record_accepted(each, job_id)

    def _record_accepted(self, planned: Planned, job_id: str) -> None:
        position = len(self.seen.changes)
        must_be_rejected = planned.expected is Outcome.REJECTED
        self.seen.planned[job_id] = planned
        self.seen.changes[job_id] = Change(job_id, planned.change, position=position, must_be_rejected=must_be_rejected)

    async def _wait(self, jobs: list[Job]) -> None:
        for ended, job in enumerate(jobs, start=1):
            await self._wait_for_result(job)
            self.on_progress(LANE, ended)

    async def _read_results(self, batch: Batch) -> None:
        """Read the batch's results as they are settled. The checks report a missing result."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self.deadline_s):
                ended = 0
                async for result in batch.results():
                    self.seen.results[result.job_id] = result
                    ended += 1
                    self.on_progress(FAN_OUT, ended)

    async def _send_passers_by(self, planned: list[Planned]) -> None:
        """Enqueue single changes, each after the result of the one before."""
        loop = asyncio.get_running_loop()
        ended = 0
        for each in planned:
            enqueued_at_s = loop.time()
            job = await self.producer.enqueue(each.change)
            self._record_accepted(each, job.job_id)
            ended += await self._wait_for_result(job)
            self.seen.waited_ms.append((loop.time() - enqueued_at_s) * 1000)
            self.on_progress(PASSERS_BY, ended)
            await asyncio.sleep(BETWEEN_PASSERS_BY_S)

    async def _wait_for_result(self, job: Job) -> bool:
        """Wait for a result until the deadline; return whether it came. The checks report a missing one."""
        with suppress(TimeoutError, JobNotFound):
            async with asyncio.timeout_at(self.deadline_s):
                self.seen.results[job.job_id] = await job.result()
        return job.job_id in self.seen.results


@dataclass(frozen=True, slots=True)
class Stage:
    """All processes of a run.

    Attributes:
        redis_dsn: of the Valkey server.
        stack: the exchange double and the workers.
        console_url: where the gateway serves the console.
    """

    redis_dsn: str
    stack: Stack
    console_url: str


@asynccontextmanager
async def staged(scenario: Scenario, folder: Path) -> AsyncIterator[Stage]:
    """Run all processes meanwhile.

    Args:
        scenario: what will be played.
        folder: an empty one, for credentials and logs; that of the workers is `worker.log`.
    """
    users = scenario.users()
    known = [user for user in users if user.user_id not in scenario.unknown]
    with embedded_valkey() as dsn:
        stack = Stack(
            redis_dsn=dsn,
            credentials=write_credentials(folder / "workers.toml", known, wrong=scenario.wrong),
            double_credentials=write_credentials(folder / "exchange.toml", users),
            environ=WORKER_ENVIRONMENT,
            log_path=folder / "worker.log",
        )
        async with stack, serving(dsn, "--no-auth", log_path=folder / "gateway.log") as gateway:
            await stack.set_faults(*map(msgspec.to_builtins, scenario.faults))
            await stack.start_workers(WORKERS)
            yield Stage(dsn, stack, f"{gateway.url}/")


async def play(scenario: Scenario, stage: Stage, on_progress: OnProgress) -> Evidence:
    """Play a scenario from start to end.

    Args:
        scenario: what to play.
        stage: the processes.
        on_progress: called whenever a change has ended.
    """
    seen = Evidence(
        user_limit_per_s=USER_LIMIT_PER_S,
        faults=scenario.faults,
        misconfigured_users={*scenario.unknown, *scenario.wrong},
    )
    async with Producer.connect(stage.redis_dsn) as producer, Redis.from_url(stage.redis_dsn) as redis:
        deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
        await _Player(producer, on_progress, deadline_s, seen).play(scenario)
        seen.counters = await read_counters(redis)
        seen.arrivals = await read_arrivals(stage.stack)
        user_ids = [user.user_id for user in scenario.users()]
        seen.final_settings = await read_final_settings(stage.stack.exchange_url, user_ids)
    return seen

"""Plays a scenario on real processes: a Valkey server, the exchange double and two workers, asked by one producer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from redis.asyncio import Redis

from ops.demo.evidence import Accepted, Evidence, Refused
from ops.demo.scenario import ADDRESS_LIMIT_PER_MIN, REQUEST_TIMEOUT_S, USER_LIMIT_PER_S, Planned, Scenario
from ops.exchange import Arrival, Report
from ops.redis_server import embedded_valkey
from ops.stack import Stack, write_credentials
from producers import Batch, Job, JobNotFound, JobResult, Producer, Refusal
from producers.contract import keyspace
from producers.queue.fan_out import member_job_id

WORKERS = 2
WORKER_ENVIRONMENT = {
    "COPYTRADE_USER_RATE_PER_S": f"{USER_LIMIT_PER_S}",
    "COPYTRADE_EGRESS_RATE_PER_S": f"{ADDRESS_LIMIT_PER_MIN / 60}",
    "COPYTRADE_REQUEST_TIMEOUT_S": f"{REQUEST_TIMEOUT_S}",
}
"""What the scenario counts on, whatever is set outside."""
PATIENCE_S = 60.0
"""What has not ended by then counts as lost."""
BATCH = "demo"
BETWEEN_PASSERS_BY_S = 0.2

FAN_OUT, LANE, PASSERS_BY = "fan-out", "long lane", "passers-by"

Watch = Callable[[str, int], None]
"""Told of progress: the group, and how many of its changes have ended."""


@dataclass(slots=True)
class _Play:
    """One run: the producer that asks, and what it has seen so far."""

    producer: Producer
    watch: Watch
    deadline_s: float
    accepted: list[Accepted] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    results: dict[str, JobResult] = field(default_factory=dict)
    waited_ms: list[float] = field(default_factory=list)

    async def all(self, scenario: Scenario) -> None:
        """Asks for everything and waits for everything."""
        lane = await self.producer.enqueue_many(each.change for each in scenario.lane)
        self._record(scenario.lane, lane.refused, [job.job_id for job in lane.jobs])
        batch = await self.producer.fan_out([each.change for each in scenario.fan_out], batch_id=BATCH)
        refused = [] if batch.report is None else batch.report.refused
        missing = {refusal.index for refusal in refused}
        indexes = [index for index in range(len(scenario.fan_out)) if index not in missing]
        self._record(scenario.fan_out, refused, [member_job_id(BATCH, str(index)) for index in indexes])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wait(lane.jobs))
            tasks.create_task(self._follow(batch))
            await self._pass_by(scenario.passers_by)

    def _record(self, planned: list[Planned], refused: list[Refusal], job_ids: list[str]) -> None:
        why = {refusal.index: str(refusal.error) for refusal in refused}
        self.refused += [Refused(planned[index], error) for index, error in why.items()]
        in_lanes = [each for index, each in enumerate(planned) if index not in why]
        self.accepted += [Accepted(each, job_id) for each, job_id in zip(in_lanes, job_ids, strict=True)]

    async def _wait(self, jobs: list[Job]) -> None:
        for ended, job in enumerate(jobs, start=1):
            await self._has_ended(job)
            self.watch(LANE, ended)

    async def _follow(self, batch: Batch) -> None:
        """Reads the batch's results as they are settled; what is missing in the end is for the checks to tell."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self.deadline_s):
                ended = 0
                async for result in batch.results():
                    self.results[result.job_id] = result
                    ended += 1
                    self.watch(FAN_OUT, ended)

    async def _pass_by(self, planned: list[Planned]) -> None:
        """One after the other, as people come: each waits for its result before the next one asks."""
        loop = asyncio.get_running_loop()
        ended = 0
        for each in planned:
            asked_at_s = loop.time()
            job = await self.producer.enqueue(each.change)
            self.accepted.append(Accepted(each, job.job_id))
            ended += await self._has_ended(job)
            self.waited_ms.append((loop.time() - asked_at_s) * 1000)
            self.watch(PASSERS_BY, ended)
            await asyncio.sleep(BETWEEN_PASSERS_BY_S)

    async def _has_ended(self, job: Job) -> bool:
        """Waits for a result and keeps it; what is missing in the end is for the checks to tell."""
        with suppress(TimeoutError, JobNotFound):
            async with asyncio.timeout_at(self.deadline_s):
                self.results[job.job_id] = await job.result()
        return job.job_id in self.results


async def play(scenario: Scenario, folder: Path, watch: Watch) -> Evidence:
    """Plays a scenario from start to stop.

    Args:
        scenario: what to play.
        folder: an empty one, for credentials and the log of the workers, `worker.log`.
        watch: told of progress.
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
        async with stack, Producer.connect(dsn) as producer:
            await stack.set_faults(*map(msgspec.to_builtins, scenario.faults))
            await stack.start_workers(WORKERS)
            deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
            seen = _Play(producer, watch, deadline_s)
            await seen.all(scenario)
            return Evidence(
                faults=scenario.faults,
                accepted=seen.accepted,
                refused=seen.refused,
                results=seen.results,
                counted=await _counted(dsn),
                arrivals=[msgspec.convert(arrival, Arrival) for arrival in await stack.arrivals()],
                report=msgspec.convert(await stack.report(), Report),
                kept=await _kept(stack.exchange_url, [user.user_id for user in users]),
                waited_ms=seen.waited_ms,
            )


async def _counted(dsn: str) -> dict[str, int]:
    async with Redis.from_url(dsn) as redis:
        counts = await redis.hgetall(keyspace.COUNTS)
    return {outcome.decode(): int(count) for outcome, count in counts.items()}


async def _kept(exchange_url: str, users: list[str]) -> dict[str, Any]:
    async with aiohttp.ClientSession(exchange_url) as http:
        kept = {}
        for user in users:
            async with http.get(f"/_double/settings/{user}") as response:
                kept[user] = await response.json()
    return kept

"""A run from start to end: carries the schedule out, ends all faults, and waits until the queue has drained."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import aiohttp
from redis.exceptions import RedisError

from ops.chaos.environment import Environment
from ops.chaos.faults import Faults
from ops.chaos.schedule import PRODUCERS, Event, schedule
from ops.chaos.workload import final_item, lanes_of
from ops.ledger.evidence import Change
from ops.slot_moves import MoveFailed
from producers import Priority, QueueUnavailable
from producers.queue.batches import seal
from producers.queue.submit import SubmitOptions
from producers.transport.clients import keyspace_of
from producers.transport.runner import run_plan

POLL_SCAN_COUNT = 1000
POLL_INTERVAL_S = 0.1
DRAIN_TIMEOUT_S = 180.0
RESULT_TTL_MS = 86_400_000
FINAL_CALL = (-1, 0)
"""The call that requests the final changes; the producers' numbers count from 0."""


@dataclass(slots=True)
class Run:
    """One run.

    Attributes:
        environment: its processes.
        faults: carries events out.
        report_progress: called with a line for people.
        happened: the number of events that were carried out, by kind.
        failed: events that could not be carried out, and why.
        final_changes: the changes that were requested after all faults.
        drained_s: how long the queue took to drain; None if it never did.
    """

    environment: Environment
    faults: Faults
    report_progress: Callable[[str], None]
    happened: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    final_changes: list[Change] = field(default_factory=list)
    drained_s: float | None = None

    async def carry_out_schedule(self) -> None:
        """Carry out all events, each at its time, and return when the last one is over."""
        environment = self.environment
        async with asyncio.TaskGroup() as tasks:
            for event in schedule(
                environment.seed, environment.seconds, in_cluster=environment.in_cluster, shards=environment.shards
            ):
                tasks.create_task(self._carry_out(event))

    async def _carry_out(self, event: Event) -> None:
        await asyncio.sleep(event.at_s - self.environment.elapsed_s())
        self.report_progress(f"{self.environment.elapsed_s():6.1f} s  {event.kind}")
        try:
            await self.faults.carry_out(event)
        except (RedisError, OSError, aiohttp.ClientError, QueueUnavailable, MoveFailed) as exc:
            self.failed.append(f"{event.kind} at {event.at_s} s: {type(exc).__name__}: {exc}")
        else:
            self.happened[event.kind] += 1

    async def drain(self) -> None:
        """End all faults, wait until the queue is empty, request one more change in every lane, and wait again."""
        await self.faults.end()
        began_s = self.environment.elapsed_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self.environment.retry(self._seal_lost_batches)
                for producer in self.environment.producers:
                    await producer.wait()
                await self._wait_until_empty()
                await self._request_final_changes()
                await self._wait_until_empty()
                self.drained_s = self.environment.elapsed_s() - began_s

    async def _seal_lost_batches(self) -> None:
        """Seal batches of which something is lost, as an app does that repeats its call: else readers wait for ever."""
        environment = self.environment
        for batch_id in environment.server.lost.batches:
            stored = environment.redis.hmget(environment.keys.batch + batch_id, ["content", "priority", "sealed_at"])
            content, priority, sealed_at = await cast("Awaitable[list[bytes | None]]", stored)
            if content is not None and priority is not None and sealed_at is None:
                options = SubmitOptions(0, Priority(priority.decode()), content=content.decode())
                sealing = seal(batch_id, options, lane_full_count=0, result_ttl_ms=RESULT_TTL_MS)
                await run_plan(environment.redis, sealing, "sealing a batch again")

    async def _wait_until_empty(self) -> None:
        environment = self.environment
        while await environment.retry(self._has_lanes):  # noqa: ASYNC110 - remote state
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _has_lanes(self) -> bool:
        """Return whether a lane is not empty: users with lanes have a hash of their heads."""
        for redis in self.environment.clients.clients:
            heads = redis.scan_iter(keyspace_of(redis).heads + "*", count=POLL_SCAN_COUNT)
            if await anext(heads, None) is not None:
                return True
        return False

    async def _request_final_changes(self) -> None:
        environment = self.environment
        for number, lane in enumerate(lanes_of(environment.seed, PRODUCERS, environment.seconds)):
            now_ns = time.monotonic_ns()
            self.final_changes.append(
                Change(
                    job_id=f"final-{number}",
                    change=final_item(*lane, number).change,
                    call=FINAL_CALL,
                    position=number,
                    requested_ns=now_ns,
                    accepted_ns=now_ns + 1,
                    is_final=True,
                )
            )
        ids = iter([change.job_id for change in self.final_changes])
        changes = [change.change for change in self.final_changes]
        report = await environment.producer.enqueue_many(changes, job_id=lambda _: next(ids))
        if len(report.jobs) != len(changes):
            self.failed.append(f"of {len(changes)} final changes {len(report.jobs)} were accepted")

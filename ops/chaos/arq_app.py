"""An app with only arq: it enqueues the control job `submit`, which puts the change into its lane."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import msgspec
from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job

from ops.chaos.workload import ORDINARY_USERS, TRADERS, Item
from ops.ledger.evidence import Change
from producers.contract import keyspace

FIRST_TRACE_VALUE = 80_000_000_000
ARQ_APP = -2
"""Its number as a producer."""
ANSWER_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.1


@dataclass(slots=True)
class ArqApp:
    """Requests changes with nothing but arq.

    Attributes:
        dsn: where Redis is.
        changes: the changes that were requested so far. Without an answer a change may be accepted or not.
        unexpected: answers that are not documented.
    """

    dsn: str
    changes: list[Change] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    async def submit(self, which_user: int) -> None:
        """Request one change, and wait for the answer whether it is accepted."""
        number = len(self.changes)
        name = f"arq-{number}"
        item = Item(ORDINARY_USERS[which_user % len(ORDINARY_USERS)], TRADERS[0], f"{FIRST_TRACE_VALUE + number}")
        now_ns = time.monotonic_ns()
        change = Change(f"{name}.change", item.change, call=(ARQ_APP, number), requested_ns=now_ns, accepted_ns=None)
        self.changes.append(change)
        try:
            answer = await self._enqueue(name, change)
        except Exception:  # noqa: BLE001 - arq raises whatever the job raised, and errors of the connection
            return
        if isinstance(answer, dict) and answer.get("jobId") == change.job_id:
            self.changes[number] = replace(change, accepted_ns=time.monotonic_ns())
        else:
            self.unexpected.append(f"an app with only arq got the answer {answer!r} for {name}")

    async def _enqueue(self, name: str, change: Change) -> object:
        redis = await create_pool(
            RedisSettings.from_dsn(self.dsn),
            job_serializer=msgspec.msgpack.encode,
            job_deserializer=msgspec.msgpack.decode,
            default_queue_name=keyspace.CONTROL_QUEUE,
        )
        try:
            job = await redis.enqueue_job("submit", msgspec.to_builtins(change.change), _job_id=name)
            job = job or Job(name, redis, keyspace.CONTROL_QUEUE, _deserializer=msgspec.msgpack.decode)
            return await job.result(timeout=ANSWER_TIMEOUT_S, poll_delay=POLL_INTERVAL_S)
        finally:
            await redis.aclose()

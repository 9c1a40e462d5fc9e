"""Coalescable changes of user 1001."""

from __future__ import annotations

from collections.abc import Sequence

from producers import CopySetting, Job, JobResult, Producer, SettingsChange
from producers.contract import keyspace
from tests.support.changes import TRADER, setting
from worker.attempt.decide import ReadyAttempt, validate_claim
from worker.queue.claims import Claim

LANE = keyspace.lane("1001", TRADER)


def pair(symbol: str, value: str = "1") -> CopySetting:
    return setting(symbol=symbol, trace_value=value)


def of(*settings: CopySetting) -> SettingsChange:
    return SettingsChange(user_id="1001", trader_id=TRADER, settings=list(settings))


async def joining(producer: Producer, *changes: SettingsChange) -> list[Job]:
    """Enqueue coalescable changes as j0, j1, ..."""
    return [await producer.enqueue(each, job_id=f"j{n}", coalesce=True) for n, each in enumerate(changes)]


def sent(claim: Claim) -> dict[str, str | None]:
    """Return what a worker sends for a claim: symbol and trace value."""
    ready = validate_claim(claim, claim.redis_ms(0))
    assert isinstance(ready, ReadyAttempt)
    return {each.symbol: each.trace_value for each in ready.request.change.settings}


async def results(jobs: Sequence[Job]) -> list[JobResult]:
    return [await job.result(timeout=0) for job in jobs]

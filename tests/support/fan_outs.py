"""Fan-outs, and how tests end and read them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from producers import Batch, FanOutReport, JobResult, Outcome, Producer, Progress, SettingsChange
from tests.support.changes import TRADER, setting
from tests.support.lanes import Lanes


def users(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


async def to_users(
    producer: Producer,
    user_ids: Iterable[Any] | AsyncIterable[Any],
    batch_id: str | None = "b",
    *,
    value: str = "1",
    **options: Any,
) -> Batch:
    """Fan out one setting of trader t1."""
    batch: Batch = await producer.fan_out(
        trader_id=TRADER, settings=[setting(trace_value=value)], user_ids=user_ids, batch_id=batch_id, **options
    )
    return batch


def failing_after(items: Iterable[Any], count: int) -> Iterator[Any]:
    """Yield the first items of an iterable, then raise LookupError."""
    for number, item in enumerate(items):
        if number == count:
            break
        yield item
    raise LookupError("the source broke")


async def flowing(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def end_all(lanes: Lanes, outcome: Outcome = Outcome.APPLIED) -> list[str]:
    """End all that is queued; return the job IDs in order."""
    ended = []
    while claims := await lanes.claim():
        for claim in claims:
            await lanes.done(claim, outcome)
            ended.append(claim.job_id)
    return ended


async def end_some(lanes: Lanes, ends: Iterable[tuple[Outcome, dict[str, Any]]]) -> None:
    """End the changes that are claimed first, each with an outcome and fields of its result."""
    ends = list(ends)
    for claim, (outcome, fields) in zip(await lanes.claim(len(ends)), ends, strict=True):
        await lanes.done(claim, outcome, **fields)


async def half_ended(producer: Producer, lanes: Lanes) -> tuple[Batch, list[str]]:
    """Return a batch of twenty with ten changes ended, and their IDs in order."""
    batch = await to_users(producer, users(20))
    claims = await lanes.claim(10)
    random.Random(1).shuffle(claims)  # noqa: S311 - chance that can be repeated
    for number, claim in enumerate(claims):
        await lanes.done(claim, Outcome.APPLIED if number % 2 else Outcome.REJECTED)
    return batch, [claim.job_id for claim in claims]


async def where_consistent(batch: Batch) -> Progress:
    """Return a batch's progress; its counters must agree with each other."""
    progress = await batch.progress()
    assert progress.queued + progress.in_flight + progress.ended == progress.total
    assert min(progress.queued, progress.in_flight, progress.ended) >= 0
    assert progress.complete == (progress.sealed and progress.ended == progress.total)
    return progress


def account(report: FanOutReport | None) -> tuple[int, int, int, int]:
    """Return how many items were given, accepted, already there and refused; the first is the sum of the others."""
    assert report is not None
    assert report.given == report.accepted + report.already_there + len(report.refused)
    return report.given, report.accepted, report.already_there, len(report.refused)


async def read_all(results: AsyncIterable[JobResult]) -> list[str]:
    """Return the job IDs of a stream of results."""
    return [result.job_id async for result in results]


def same(changes: Iterable[SettingsChange], value: str) -> list[SettingsChange]:
    """Return changes of the same lanes with another trace value."""
    return [
        SettingsChange(user_id=each.user_id, trader_id=each.trader_id, settings=[setting(trace_value=value)])
        for each in changes
    ]

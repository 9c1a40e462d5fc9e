"""Ask all shards of a queue for what one of them has, without waiting for one that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from redis.asyncio import Redis

from producers.errors import ProducerError
from producers.transport.cancellation import cancel_and_wait
from producers.transport.plan import Plan, Step
from producers.transport.runner import run_plan

OTHERS_S = 0.05
"""How much longer the others may take when one has it. Less would cut off the connections of shards that answer."""

T = TypeVar("T")


async def run_until(
    plans: Sequence[tuple[Redis, Plan[T] | Step[T]]], is_found: Callable[[T], bool], action: str
) -> dict[int, T | ProducerError]:
    """Run plans at the same time, each on its client, as `run_plan` does, until one returns what is looked for.

    Args:
        plans: the plans.
        is_found: whether a result is what is looked for.
        action: what the caller is doing, for the error message.

    Returns:
        The results by their places in `plans`, in order; the error of a plan that failed. Shards that
        were not waited for are left out.
    """
    tasks = [asyncio.create_task(run_plan(redis, plan, action)) for redis, plan in plans]
    pending = set(tasks)
    try:
        found = False
        while pending and not found:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            answers = [_answer(task) for task in done]
            found = any(not isinstance(answer, ProducerError) and is_found(answer) for answer in answers)
        if pending:
            await asyncio.wait(pending, timeout=OTHERS_S)
        return {place: _answer(task) for place, task in enumerate(tasks) if task.done()}
    finally:
        await asyncio.gather(*map(cancel_and_wait, tasks))


def _answer(task: asyncio.Task[T]) -> T | ProducerError:
    try:
        return task.result()
    except ProducerError as exc:
        return exc

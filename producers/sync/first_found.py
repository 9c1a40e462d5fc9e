"""Ask the shards of a queue, one after the other, for what one of them has, also if one is away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from redis import Redis

from producers.errors import ProducerError
from producers.sync.transport import run_plan
from producers.transport.plan import Plan, Step

T = TypeVar("T")


def run_until(
    plans: Sequence[tuple[Redis, Plan[T] | Step[T]]], is_found: Callable[[T], bool], action: str
) -> dict[int, T | ProducerError]:
    """Run plans one after the other, each on its client, as `run_plan` does, until one returns what is looked for.

    Args:
        plans: the plans.
        is_found: whether a result is what is looked for.
        action: what the caller is doing, for the error message.

    Returns:
        The results by their places in `plans`, in order; the error of a plan that failed.
    """
    answers: dict[int, T | ProducerError] = {}
    for place, (redis, plan) in enumerate(plans):
        try:
            answers[place] = answer = run_plan(redis, plan, action)
        except ProducerError as exc:
            answers[place] = exc
        else:
            if is_found(answer):
                break
    return answers

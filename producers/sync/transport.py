"""Redis without asyncio: what the modules generated from `producers.client` use in place of `producers.transport`."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from producers.transport.plan import Plan, RunScript, Step
from producers.transport.retry import RetryBudget
from producers.transport.runner import translate_errors, unavailable, wait_s_of

__all__ = [
    "CALLS_IN_FLIGHT",
    "AnyIterable",
    "NotificationListener",
    "execute",
    "iter_any",
    "pipelined",
    "run_plan",
    "translate_errors",
    "wait_for",
]

CALLS_IN_FLIGHT = 1
"""A synchronous call waits for each reply."""

RECONNECT_S = 0.2
"""Pause before a lost subscription is renewed."""

POLL_INTERVAL_S = 5.0
"""How often a waiter looks without a notification, in case one was lost with a connection."""

T = TypeVar("T")
AnyIterable: TypeAlias = Iterable[T]


def run_plan(redis: Redis, plan: Plan[T], action: str) -> T:
    """Run a plan and return its result.

    Args:
        redis: the client to use.
        plan: the plan.
        action: what the caller is doing, for the error message: "reading the status of change 4711".

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with translate_errors(action):
        try:
            step = next(plan)
            while True:
                step = plan.send(execute(redis, step))
        except StopIteration as stop:
            result: T = stop.value
            return result


def execute(redis: Redis, step: Step) -> Any:
    """Execute one step and return its reply. Wait for a Redis that is unavailable as long as the client was opened to.

    Raises:
        RedisError: Redis did not answer.
    """
    budget = RetryBudget(wait_s_of(redis))
    while True:
        try:
            return _execute_once(redis, step)
        except RedisError as exc:
            pause_s = budget.pause_s(exc, step)
            if pause_s is None:
                raise
        time.sleep(pause_s)


def _execute_once(redis: Redis, step: Step) -> Any:
    if isinstance(step, RunScript):
        try:
            return redis.execute_command("EVALSHA", step.script.sha, len(step.keys), *step.keys, *step.args)  # type: ignore[no-untyped-call]
        except NoScriptError:
            return redis.execute_command("EVAL", step.script.text, len(step.keys), *step.keys, *step.args)  # type: ignore[no-untyped-call]
    if len(step.commands) == 1:
        return [redis.execute_command(*step.commands[0])]  # type: ignore[no-untyped-call]
    with redis.pipeline(transaction=True) as pipe:
        for command in step.commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return pipe.execute()


def pipelined(
    redis: Redis,
    steps: Iterable[tuple[T, RunScript]],
    *,
    in_flight: int,  # noqa: ARG001 - the asyncio client sends several steps before it reads the first reply
) -> Generator[tuple[T, Any], None]:
    """Execute steps one after the other. Yield what came with each, and its reply.

    Raises:
        RedisError: Redis did not answer; the last step may or may not be executed.
    """
    for tag, step in steps:
        yield tag, execute(redis, step)


def iter_any(items: Iterable[T] | AsyncIterable[T]) -> Iterator[T]:
    """Iterate over items.

    Raises:
        TypeError: they are an asynchronous iterable.
    """
    if isinstance(items, AsyncIterable):
        raise TypeError("an asynchronous iterable needs the asynchronous producers.Producer")
    return iter(items)


class NotificationListener:
    """Subscriptions to notifications: each wait opens its own, in the waiting thread."""

    def __init__(self, redis: Redis) -> None:
        """Subscribe on a Redis, when something waits."""
        self.redis = redis

    def close(self) -> None:
        """Do nothing: a subscription is closed by the wait that opened it."""


def wait_for(
    listener: NotificationListener, channel: str, poll: Callable[[], T | None], timeout_s: float | None
) -> T | None:
    """Wait until `poll` returns something, and return that; None if the time is over.

    Args:
        listener: where to subscribe.
        channel: notified when `poll` may have a result.
        poll: returns None while there is no result.
        timeout_s: seconds to wait; None waits for ever, 0 does not wait.

    Raises:
        QueueUnavailable: Redis did not answer, and the client was not opened to wait.
    """
    found = poll()
    if found is not None or (timeout_s is not None and timeout_s <= 0):
        return found
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            return _poll_on_notifications(listener.redis, channel, poll, deadline_s)
        except RedisError as exc:
            if not wait_s_of(listener.redis):
                raise unavailable(f"listening to {channel}", exc) from exc
        time.sleep(RECONNECT_S)
        found = poll()  # which waits for a Redis that is unavailable
        if found is not None:
            return found


def _poll_on_notifications(redis: Redis, channel: str, poll: Callable[[], T | None], deadline_s: float) -> T | None:
    found = None
    with redis.pubsub() as notifications:  # type: ignore[no-untyped-call]
        notifications.subscribe(channel)
        while found is None and time.monotonic() < deadline_s:
            # The first message confirms the subscription; the poll after it finds what was published before.
            notifications.get_message(timeout=max(0.0, min(POLL_INTERVAL_S, deadline_s - time.monotonic())))
            found = poll()
    return found

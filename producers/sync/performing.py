"""Performing plans on plain redis-py, and waiting on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar, assert_never

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from producers.transport.plan import Plan, RunScript, Step, Transaction
from producers.transport.retry import RetryBudget
from producers.transport.runner import translate_errors, unavailable, wait_s_of

RECONNECT_S = 0.2
"""Pause before a lost subscription is renewed."""

LOOK_AGAIN_S = 5.0
"""A waiter looks by itself this often, in case an announcement was lost with a connection."""

T = TypeVar("T")


def run_plan(redis: Redis, plan: Plan[T] | Step[T], action: str) -> T:
    """Run a plan, or a single step, and return its result.

    Args:
        redis: the client to run it on.
        plan: a new plan, or a step.
        action: what the caller is doing, for the error message, such as "asking for the status of 4711".

    Raises:
        QueueUnavailable: Redis did not answer, or refused a command.
    """
    with translate_errors(action):
        return execute(redis, plan)


def execute(redis: Redis, plan: Plan[T] | Step[T]) -> T:
    """Run a plan, or a single step, as `run_plan` does, but raise Redis's own errors.

    Raises:
        RedisError: Redis did not answer, or refused a command.
    """
    steps = plan.__iter__()
    try:
        step = next(steps)
        while True:
            step = steps.send(fetch_reply(redis, step))
    except StopIteration as done:
        result: T = done.value
        return result


def fetch_reply(redis: Redis, step: Step[Any]) -> Any:
    """Return the unparsed reply to a step. Retry while Redis is away, for as long as the client was opened to wait.

    Raises:
        RedisError: Redis did not answer, or refused a command.
    """
    budget = RetryBudget(wait_s_of(redis))
    while True:
        try:
            return _send(redis, step)
        except RedisError as exc:
            pause_s = budget.pause_s(exc, step)
            if pause_s is None:
                raise
        time.sleep(pause_s)


def _send(redis: Redis, step: Step[Any]) -> Any:
    match step:
        case RunScript(script=script, keys=keys, args=args):
            try:
                return redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
            except NoScriptError:
                return redis.execute_command("EVAL", script.text, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
        case Transaction(commands=[command]):
            return [redis.execute_command(*command)]  # type: ignore[no-untyped-call]
        case Transaction():
            with redis.pipeline(transaction=True) as pipe:
                for command in step.commands:
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call]
                return pipe.execute()
        case _:
            assert_never(step)


def wait_for(redis: Redis, channel: str, look: Callable[[], T | None], timeout_s: float | None) -> T | None:
    """What `look` finds, as soon as it finds something; None if it found nothing in time.

    Args:
        redis: where.
        channel: is told when it is worth to look.
        look: returns None while there is nothing.
        timeout_s: seconds to wait; None waits for ever, 0 only looks.
    """
    found = look()
    if found is not None or (timeout_s is not None and timeout_s <= 0):
        return found
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            return _listen(redis, channel, look, deadline_s)
        except RedisError as exc:
            if not wait_s_of(redis):
                raise unavailable(f"listening to {channel}", exc) from exc
        time.sleep(RECONNECT_S)
        found = look()  # which waits for a Redis that is away
        if found is not None:
            return found


def _listen(redis: Redis, channel: str, look: Callable[[], T | None], deadline_s: float) -> T | None:
    found = None
    with redis.pubsub() as announcements:  # type: ignore[no-untyped-call]
        announcements.subscribe(channel)
        while found is None and time.monotonic() < deadline_s:
            # The confirmation of the subscription comes first, and what ended before it is looked up by then.
            announcements.get_message(timeout=max(0.0, min(LOOK_AGAIN_S, deadline_s - time.monotonic())))
            found = look()
    return found

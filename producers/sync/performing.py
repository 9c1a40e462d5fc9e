"""Performing plans on plain redis-py, and waiting on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from producers.transport.plan import Plan, RunScript, Step
from producers.transport.retry import RetryBudget
from producers.transport.runner import translate_errors, unavailable, wait_s_of

RECONNECT_S = 0.2
"""Pause before a lost subscription is renewed."""

LOOK_AGAIN_S = 5.0
"""A waiter looks by itself this often, in case an announcement was lost with a connection."""

T = TypeVar("T")


def run_plan(redis: Redis, plan: Plan[T], action: str) -> T:
    """What a plan returns.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with translate_errors(action):
        try:
            step = next(plan)
            while True:
                step = plan.send(execute(redis, step))
        except StopIteration as end:
            answer: T = end.value
            return answer


def execute(redis: Redis, step: Step) -> Any:
    """The reply to one trip. A Redis that is away is waited for, as long as the client was opened to wait.

    Raises:
        RedisError: Redis did not answer.
    """
    patience = RetryBudget(wait_s_of(redis))
    while True:
        try:
            return _execute_once(redis, step)
        except RedisError as exc:
            pause_s = patience.pause_s(exc, step)
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

"""Redis without asyncio: what the modules generated from `producers.client` use in place of `producers.transport`."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, assert_never

from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from producers.errors import ProducerError
from producers.transport.blocking import BLOCKED_PAUSE_S, blocking_share
from producers.transport.clients import keyspace_of
from producers.transport.layout_check import with_layout_check
from producers.transport.notifications import RECONNECT_S
from producers.transport.pipeline import Ordered
from producers.transport.plan import Plan, RunScript, Step, Transaction
from producers.transport.redis_errors import FULL, refusal_code
from producers.transport.retry import RetryBudget
from producers.transport.runner import translate_errors, unavailable, wait_s_of
from producers.transport.scripts import Argument
from producers.transport.shards_check import check_number, shards_to_check
from producers.transport.transaction import as_script, convert
from producers.transport.waiting import POLL_INTERVAL_S

__all__ = [
    "MAX_IN_FLIGHT",
    "AnyIterable",
    "NotificationListener",
    "check_shards",
    "execute",
    "iter_any",
    "pause",
    "pipelined",
    "run_blocking",
    "run_plan",
    "translate_errors",
    "try_each",
    "wait_for",
]

MAX_IN_FLIGHT = 1
"""A synchronous call waits for each reply."""

K = TypeVar("K", bound=Ordered)
T = TypeVar("T")
AnyIterable: TypeAlias = Iterable[T]


def run_plan(redis: Redis, plan: Plan[T] | Step[T], action: str) -> T:
    """Run a plan, or a single step, and return its result.

    Args:
        redis: the client to run it on.
        plan: a new plan, or a step.
        action: what the caller is doing, for the error message, such as "reading change 4711".

    Raises:
        QueueUnavailable: Redis did not answer, or refused a command.
        LayoutMismatch: another version of this project wrote the queue.
    """
    with translate_errors(action):
        check_shards(redis)
        return execute(redis, with_layout_check(redis.connection_pool, keyspace_of(redis), plan))


def try_each(plans: Sequence[tuple[Redis, Plan[T] | Step[T]]], action: str) -> list[T | ProducerError]:
    """Run plans one after the other, each on its client, as `run_plan` does. Return their results or errors."""

    def tried(redis: Redis, plan: Plan[T] | Step[T]) -> T | ProducerError:
        try:
            return run_plan(redis, plan, action)
        except ProducerError as exc:
            return exc

    return [tried(redis, plan) for redis, plan in plans]


def check_shards(redis: Redis) -> None:
    """Check the number of shards before the first use of one, or of their home.

    Raises:
        LayoutMismatch: the queue has another number of shards.
    """
    if (shards := shards_to_check(redis.connection_pool)) is None:
        return
    asked = check_number(redis.connection_pool, shards)
    with suppress(StopIteration):
        client, plan = next(asked)
        while True:
            try:
                client, plan = asked.send(execute(client, plan))
            except RedisError as exc:
                client, plan = asked.throw(exc)


def pause(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)


def run_blocking(redis: Redis, step: Step[Any], action: str) -> None:
    """Run a step that waits on the server until there is something to read, or pause if too many do so already.

    Raises:
        QueueUnavailable: Redis did not answer, or refused the command.
    """
    with blocking_share(redis) as granted:
        if granted:
            run_plan(redis, step, action)
    if not granted:
        time.sleep(BLOCKED_PAUSE_S)


def execute(redis: Redis, plan: Plan[T] | Step[T]) -> T:
    """Run a plan, or a single step, as `run_plan` does, but raise Redis's own errors.

    Raises:
        RedisError: Redis did not answer, or refused a command.
    """
    steps = plan.__iter__()
    try:
        step = next(steps)
        while True:
            step = steps.send(_fetch_reply(redis, step))
    except StopIteration as done:
        result: T = done.value
        return result


def _fetch_reply(redis: Redis, step: Step[Any]) -> Any:
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
        case RunScript():
            script = step.script.bind(keyspace_of(redis))
            try:
                return redis.execute_command(*script.command(step.args))  # type: ignore[no-untyped-call]
            except NoScriptError:
                return redis.execute_command(*script.command(step.args, is_known=False))  # type: ignore[no-untyped-call]
        case Transaction():
            try:
                return _send_commands(redis, step.commands)
            except ResponseError as exc:
                if refusal_code(exc) != FULL:
                    raise
            return convert(step, _send(redis, as_script(step)), redis.response_callbacks)
        case _:
            assert_never(step)


def _send_commands(redis: Redis, commands: list[tuple[Argument, ...]]) -> list[Any]:
    if len(commands) == 1:
        return [redis.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
    with redis.pipeline(transaction=True) as pipe:
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return pipe.execute()


def pipelined(
    clients: Sequence[Redis],
    steps: Iterable[tuple[K, RunScript[T]]],
    *,
    in_flight: int,  # noqa: ARG001 - the asyncio client sends several steps before it reads the first reply
) -> Generator[tuple[K, T], None]:
    """Run steps in order, each on the client of its shard, and yield each key with the reply to its step.

    Raises:
        RedisError: Redis did not answer. The last step may have run or not.
    """
    for key, step in steps:
        yield key, execute(clients[key.shard], step)


def iter_any(items: Iterable[T] | AsyncIterable[T]) -> Iterator[T]:
    """Iterate over items; an asynchronous iterable raises TypeError."""
    if isinstance(items, AsyncIterable):
        raise TypeError("an asynchronous iterable needs the asynchronous producers.Producer")
    return iter(items)


class NotificationListener:
    """Subscriptions to notifications: each wait opens its own, in the waiting thread, or polls if too many wait."""

    def __init__(self, redis: Redis) -> None:
        """Keep the client; `wait_for` subscribes with it."""
        self.redis = redis

    def close(self) -> None:
        """Do nothing: a subscription is closed by the wait that opened it."""


def wait_for(
    listener: NotificationListener, channel: str, poll: Callable[[], T | None], timeout_s: float | None
) -> T | None:
    """Return what `poll` returns as soon as that is not None; None after the timeout.

    Args:
        listener: has the client to subscribe with.
        channel: the channel that announces when polling may succeed.
        poll: returns None while there is no result.
        timeout_s: seconds to wait; None waits for ever, 0 polls once.

    Raises:
        QueueUnavailable: Redis did not answer, and did not come back within the client's `wait_s`.
    """
    found = poll()
    if found is not None or (timeout_s is not None and timeout_s <= 0):
        return found
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        with blocking_share(listener.redis) as granted:
            if granted:
                try:
                    return _poll_on_notifications(listener.redis, channel, poll, deadline_s)
                except RedisError as exc:
                    if not wait_s_of(listener.redis):
                        raise unavailable(f"listening to {channel}", exc) from exc
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return None
        time.sleep(min(left_s, RECONNECT_S if granted else BLOCKED_PAUSE_S))
        found = poll()  # retries while Redis is away
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

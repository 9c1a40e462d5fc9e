"""Run plans on redis.asyncio, and translate redis-py's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, assert_never

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from producers.contract.layout import REFUSAL
from producers.errors import LayoutMismatch, ProducerError, QueueFull, QueueUnavailable, SettingsError
from producers.transport.blocking import BLOCKED_PAUSE_S, blocking_share
from producers.transport.clients import check_loop, keyspace_of
from producers.transport.explain import describe, is_wrong_server
from producers.transport.layout_check import with_layout_check
from producers.transport.plan import Plan, RunScript, Step, Transaction
from producers.transport.redis_errors import FULL, refusal_code
from producers.transport.retry import RetryBudget, was_refused_untouched
from producers.transport.scripts import Argument
from producers.transport.shards_check import check_number, shards_to_check
from producers.transport.transaction import as_script, convert

T = TypeVar("T")

_ERRORS: dict[str, type[ProducerError]] = {FULL: QueueFull, REFUSAL: LayoutMismatch}
"""What the codes of refusals become."""


async def run_plan(redis: Redis, plan: Plan[T] | Step[T], action: str) -> T:
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
        await check_shards(redis)
        return await execute(redis, with_layout_check(redis.connection_pool, keyspace_of(redis), plan))


async def try_each(plans: Sequence[tuple[Redis, Plan[T] | Step[T]]], action: str) -> list[T | ProducerError]:
    """Run plans at the same time, each on its client, as `run_plan` does. Return when all have ended.

    Returns:
        The result of each, or its error, in the given order.
    """
    found = await asyncio.gather(*(run_plan(redis, plan, action) for redis, plan in plans), return_exceptions=True)
    results: list[T | ProducerError] = []
    for result in found:
        if isinstance(result, BaseException) and not isinstance(result, ProducerError):
            raise result
        results.append(result)
    return results


async def check_shards(redis: Redis) -> None:
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
                client, plan = asked.send(await execute(client, plan))
            except RedisError as exc:
                client, plan = asked.throw(exc)


async def pause(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


async def run_blocking(redis: Redis, step: Step[Any], action: str) -> None:
    """Run a step that waits on the server until there is something to read, or pause if too many do so already.

    Raises:
        QueueUnavailable: Redis did not answer, or refused the command.
    """
    with blocking_share(redis) as granted:
        if granted:
            await run_plan(redis, step, action)
    if not granted:
        await asyncio.sleep(BLOCKED_PAUSE_S)


async def execute(redis: Redis, plan: Plan[T] | Step[T]) -> T:
    """Run a plan, or a single step, as `run_plan` does, but raise Redis's own errors.

    Raises:
        RedisError: Redis did not answer, or refused a command.
    """
    steps = plan.__iter__()
    try:
        step = next(steps)
        while True:
            step = steps.send(await fetch_reply(redis, step))
    except StopIteration as done:
        result: T = done.value
        return result


async def fetch_reply(redis: Redis, step: Step[Any]) -> Any:
    """Return the unparsed reply to a step. Retry while Redis is away, for up to the `wait_s` of the client.

    Raises:
        RedisError: Redis did not answer, or refused a command.
    """
    check_loop(redis)
    budget = RetryBudget(wait_s_of(redis))
    while True:
        try:
            return await reraise_cancellation(_send(redis, step))
        except RedisError as exc:
            pause_s = budget.pause_s(exc, step)
            if pause_s is None:
                raise
        await asyncio.sleep(pause_s)


async def _send(redis: Redis, step: Step[Any]) -> Any:
    match step:
        case RunScript():
            return await step.script.run(redis, keyspace_of(redis), step.args)
        case Transaction():
            try:
                return await _send_commands(redis, step.commands)
            except ResponseError as exc:
                if refusal_code(exc) != FULL:
                    raise
            return convert(step, await _send(redis, as_script(step)), redis.response_callbacks)
        case _:
            assert_never(step)


async def _send_commands(redis: Redis, commands: list[tuple[Argument, ...]]) -> list[Any]:
    if len(commands) == 1:
        return [await redis.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
    async with redis.pipeline(transaction=True) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute()


async def reraise_cancellation(reply: Awaitable[T]) -> T:
    """Return the reply, or raise CancelledError if the calling task was cancelled in the meantime.

    Before Python 3.12, redis-py's use of `asyncio.wait_for` may swallow a cancellation, and with it a time-out of the
    caller.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    answer = await reply
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


@contextmanager
def translate_errors(
    action: str, if_refused: Callable[[], str] | None = None, *, is_alone: bool = False
) -> Iterator[None]:
    """Raise an error of this package in place of one of redis-py; for synchronous code too.

    That is QueueUnavailable. Or LayoutMismatch if a script refuses the queue: one that began since its layout was read.
    Or SettingsError if the DSN names a cluster as a single server, or the reverse.

    Args:
        action: what the caller was doing, for the message.
        if_refused: returns what to say instead in these cases, or if Redis is full: nothing is in doubt then.
        is_alone: whether no other step is under way, so that nothing is in doubt after any refusal of one that did
            not run.
    """
    try:
        yield
    except RedisError as exc:  # redis-py wraps its OSErrors; any other is of the caller's iterable
        error = unavailable(action, exc)
        if if_refused and (type(error) is not QueueUnavailable or (is_alone and was_refused_untouched(exc))):
            error = unavailable(if_refused(), exc)
        raise error from exc


def wait_s_of(redis: Any) -> float:
    """Return for how long a call on this client retries while Redis is away, in seconds."""
    wait_s: float = getattr(redis.connection_pool, "wait_s", 0.0)
    return wait_s


def unavailable(action: str, exc: RedisError) -> ProducerError:
    """Return the QueueUnavailable, LayoutMismatch or SettingsError for an error of redis-py."""
    kind = SettingsError if is_wrong_server(exc) else _ERRORS.get(refusal_code(exc), QueueUnavailable)
    return kind(f"{action}: {describe(exc)}")

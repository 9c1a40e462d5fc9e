# Generated from producers/client/shard.py by `python -m ops.unasync`: change that file, not this one.
"""The shards of a queue as handles use them, and plans that reach over several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from redis import Redis

from producers.contract.keyspace import Keyspace
from producers.contract.shards import shard_of
from producers.contract.validation import check_id
from producers.errors import ProducerError, Refusal, ShardsUnavailable
from producers.sync.first_found import run_until
from producers.sync.transport import NotificationListener, run_plan, try_each
from producers.transport.clients import keyspace_of
from producers.transport.plan import Plan, Step
from producers.transport.redis_clock import RedisClock
from producers.transport.shard_answers import answers_of_all

M = TypeVar("M")
T = TypeVar("T")
ErrorKinds: TypeAlias = type[ProducerError] | tuple[type[ProducerError], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One shard of a queue; of a queue without shards, all of it.

    Attributes:
        number: its number, from 0.
        redis: its client.
        keys: the names of its keys.
        notifications: listens to what it announces.
        clock: the clock of its Redis.
    """

    number: int
    redis: Redis
    keys: Keyspace
    notifications: NotificationListener
    clock: RedisClock = field(default_factory=RedisClock)


MakePlan: TypeAlias = Callable[[Shard], Plan[T] | Step[T]]
"""Returns a new plan for a shard."""


def shards_of(clients: Sequence[Redis]) -> tuple[Shard, ...]:
    """Return the shards that clients lead to."""
    return tuple(
        Shard(number, redis, keyspace_of(redis), NotificationListener(redis)) for number, redis in enumerate(clients)
    )


def shard_for(shards: Sequence[Shard], user_id: str) -> Shard:
    """Return the shard that holds a user.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    return shards[shard_of(check_id("user_id", user_id), len(shards))]


def run_on_all(shards: Sequence[Shard], make_plan: MakePlan[T], action: str) -> list[T]:
    """Run a plan on each of the shards, and return the results in their order.

    Raises:
        QueueUnavailable: Redis did not answer, or refused a command.
        ShardsUnavailable: that is so of some of the shards; the others ran their plans.
    """
    if len(shards) == 1:
        return [run_plan(shards[0].redis, make_plan(shards[0]), action)]
    answers = try_each([(shard.redis, make_plan(shard)) for shard in shards], action)
    return answers_of_all(dict(zip((shard.number for shard in shards), answers, strict=True)), action)


def merge_all(shards: Sequence[Shard], make_plan: MakePlan[T], merge: Callable[[Sequence[T]], M], action: str) -> M:
    """Run a plan on each of the shards, and return the results as one.

    Raises:
        QueueUnavailable: Redis did not answer, or refused a command.
        ShardsUnavailable: that is so of some of the shards; it has the merged results of the others.
    """
    try:
        return merge(run_on_all(shards, make_plan, action))
    except ShardsUnavailable as exc:
        exc.partial = merge(exc.answers)
        raise


def run_where_found(
    shards: Sequence[Shard], make_plan: MakePlan[T], action: str, missing: ErrorKinds
) -> list[tuple[Shard, T]]:
    """Run a plan on each of the shards. Return the results of those that have what it looks for, each with its shard.

    Args:
        shards: where to look.
        make_plan: returns the plan, which raises `missing` where there is nothing.
        action: what the caller is doing, for the error message.
        missing: the error, or the errors, that mean that a shard does not have it.

    Raises:
        QueueUnavailable: Redis did not answer, or refused a command.
        ProducerError: no shard has it: the first kind of `missing` that there was.
    """
    if len(shards) == 1:
        return [(shards[0], run_plan(shards[0].redis, make_plan(shards[0]), action))]
    answers = run_on_all(shards, lambda shard: _or_missing(make_plan(shard), missing), action)
    found: list[tuple[Shard, T]] = []
    errors: list[ProducerError] = []
    for shard, answer in zip(shards, answers, strict=True):
        if isinstance(answer, _Missing):
            errors.append(answer.error)
        else:
            found.append((shard, answer))
    if not found:
        kinds = missing if isinstance(missing, tuple) else (missing,)
        raise next(error for kind in kinds for error in errors if isinstance(error, kind))
    return found


def run_until_found(
    shards: Sequence[Shard],
    make_plan: MakePlan[T],
    action: str,
    missing: ErrorKinds,
    is_found: Callable[[T], bool] = lambda _: True,
) -> tuple[Shard, T]:
    """Run a plan that looks for what is in one of the shards. Return its result there, with the shard.

    A shard that is away holds up nobody whose thing another one has.

    Args:
        shards: where to look.
        make_plan: returns the plan.
        action: what the caller is doing, for the error message.
        missing: the error, or the errors, that mean that a shard does not have it.
        is_found: whether a result means that the shard has it. If there is no other result, the first is returned.

    Raises:
        QueueUnavailable: a shard did not answer, and no other has it.
        ProducerError: no shard has it: what the first one raised that is of `missing`.
    """
    if len(shards) == 1:
        return shards[0], run_plan(shards[0].redis, make_plan(shards[0]), action)

    def has_it(answer: T | _Missing) -> bool:
        return not isinstance(answer, _Missing) and is_found(answer)

    def plan(shard: Shard) -> Plan[T | _Missing]:
        return (yield from _or_missing(make_plan(shard), missing))

    answers = run_until([(shard.redis, plan(shard)) for shard in shards], has_it, action)
    for place, answer in answers.items():
        if not isinstance(answer, _Missing | ProducerError) and is_found(answer):
            return shards[place], answer
    by_number = {shards[place].number: answer for place, answer in answers.items()}
    others: list[T | _Missing] = answers_of_all(by_number, action)
    for other in others:
        if isinstance(other, _Missing):
            raise other.error
    return shards[0], next(other for other in others if not isinstance(other, _Missing))


def find_refused(
    shards: Sequence[Shard],
    user_ids: Sequence[str],
    make_plan: Callable[[Shard, Sequence[int]], Plan[list[Refusal]]],
    action: str,
) -> list[Refusal]:
    """Return which items of a call are refused: each is looked at in the shard of its user.

    Args:
        shards: all shards.
        user_ids: the user of each item.
        make_plan: returns the plan that looks at the items at some places, and indexes refusals by that list.
        action: what the caller is doing, for the error message.

    Raises:
        QueueUnavailable: Redis did not answer, or refused a command.
    """
    places: list[list[int]] = [[] for _ in shards]
    for place, user_id in enumerate(user_ids):
        places[shard_of(user_id, len(shards))].append(place)
    used = [shard for shard in shards if places[shard.number]] or shards[:1]
    parts = run_on_all(used, lambda shard: make_plan(shard, places[shard.number]), action)
    refused = [
        replace(refusal, index=places[shard.number][refusal.index])
        for shard, part in zip(used, parts, strict=True)
        for refusal in part
    ]
    return sorted(refused, key=lambda refusal: refusal.index)


@dataclass(frozen=True, slots=True)
class _Missing:
    """What a shard without the thing answers."""

    error: ProducerError


def _or_missing(plan: Plan[T] | Step[T], kinds: ErrorKinds) -> Plan[T | _Missing]:
    """Return what a plan returns, or that it raises an error of one of these kinds."""
    try:
        return (yield from plan)
    except kinds as exc:
        return _Missing(exc)

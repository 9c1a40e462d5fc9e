"""What the shards of a queue answered, as the answer of the queue. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from producers.errors import ProducerError, QueueUnavailable, ShardsUnavailable

T = TypeVar("T")


def answers_of_all(found: Mapping[int, T | ProducerError], action: str) -> list[T]:
    """Return the answers of all shards that were asked, in the given order.

    Args:
        found: the answer of each shard, or its error, by its number.
        action: what the caller is doing, which begins the message of each error, such as "pausing everything".

    Raises:
        ShardsUnavailable: some answered, and others are unavailable.
        ProducerError: that of the first shard; before those of shards that are unavailable, another one.
    """
    answers = [answer for answer in found.values() if not isinstance(answer, ProducerError)]
    errors = {number: answer for number, answer in found.items() if isinstance(answer, ProducerError)}
    if not errors:
        return answers
    for error in errors.values():
        if type(error) is not QueueUnavailable:
            raise error
    first = next(iter(errors.values()))
    if not answers:
        raise first
    reason = str(first).removeprefix(f"{action}: ")
    done, missing = named([number for number in found if number not in errors]), named([*errors])
    message = f"{action}: done in {done}, not confirmed by {missing}: {reason}; repeat it when {missing} can answer"
    raise ShardsUnavailable(message, answers) from first


def named(numbers: Sequence[int]) -> str:
    """Return the names of some shards, such as "shards 1, 2"."""
    return f"shard{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"

"""What callers are told of many items at once. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from producers.errors import ProducerError

Handle = TypeVar("Handle")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that was not accepted.

    Attributes:
        index: its place in the iterable, from 0.
        error: InvalidChange (with field, rule and value), InvalidId or LaneFull.
        user_id: whose it was, where that can be told.
    """

    index: int
    error: ProducerError
    user_id: str | None = None


@dataclass(slots=True)
class EnqueueReport(Generic[Handle]):
    """What became of the changes of `enqueue_many`.

    Attributes:
        jobs: handles to those that are in their lanes, in the order given.
        refused: those that are not, and why.
    """

    jobs: list[Handle] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class BatchRefused(ProducerError):
    """All or nothing was asked for, and some items cannot be accepted. Nothing was written.

    Attributes:
        refused: which, and why.
    """

    def __init__(self, refused: list[Refusal]) -> None:
        first = refused[0]
        super().__init__(
            f"{len(refused)} of the items cannot be accepted, the first (index {first.index}): {first.error};"
            " nothing was written: mend them, or ask for the others without all_or_nothing"
        )
        self.refused = refused

"""What callers are told of many items at once. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from producers.errors import Refusal

Handle = TypeVar("Handle")


@dataclass(slots=True)
class EnqueueReport(Generic[Handle]):
    """What became of the changes of `enqueue_many`.

    Attributes:
        jobs: handles to those that are in their lanes, in the order given.
        refused: those that are not, and why.
    """

    jobs: list[Handle] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

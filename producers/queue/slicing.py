"""Slices of a long list, so that no transaction or script run gets too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in slices of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))

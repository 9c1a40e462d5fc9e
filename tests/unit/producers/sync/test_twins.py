"""The synchronous twin has the same names and the same arguments."""

from __future__ import annotations

import inspect

import pytest

import producers
from producers import sync

PAIRS = [
    (producers.Producer, sync.Producer),
    (producers.Job, sync.Job),
    (producers.Batch, sync.Batch),
    (producers.DeadLetters, sync.DeadLetters),
    (producers.ResultStream, sync.ResultStream),
]
METHODS = [
    (one, other, name)
    for one, other in PAIRS
    for name, member in inspect.getmembers(one)
    if not name.startswith("_") and callable(member)
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda cls: cls.__module__)
def test_both_twins_have_the_same_public_names(one: type, other: type) -> None:
    """What is there with await is there without, and nothing else."""
    assert {name for name in dir(one) if not name.startswith("_")} == {
        name for name in dir(other) if not name.startswith("_")
    }


@pytest.mark.parametrize(("one", "other", "name"), METHODS, ids=lambda value: getattr(value, "__name__", value))
def test_a_method_takes_the_same_arguments_in_both(one: type, other: type, name: str) -> None:
    """In the same order, with the same defaults."""
    parameters = [
        [(each.name, each.kind, each.default) for each in inspect.signature(getattr(cls, name)).parameters.values()]
        for cls in (one, other)
    ]

    assert parameters[0] == parameters[1]

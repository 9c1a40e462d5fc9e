"""How the name of a key is made from the tag of its keyspace."""

from __future__ import annotations

from typing import Protocol


class Tagged(Protocol):
    """A keyspace.

    Attributes:
        tag: what its names begin with; "" for those of a single Redis.
    """

    tag: str


class Name:
    """An attribute of a keyspace: what its names begin with, and a suffix."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def __set_name__(self, _: type, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, keys: Tagged, _: type) -> str:
        name = self._prefix(keys.tag) + self._suffix
        vars(keys)[self._attribute] = name  # found there from now on
        return name

    @staticmethod
    def _prefix(tag: str) -> str:
        return f"{tag}:" if tag else "copytrade:"


class ArqName(Name):
    """The same for the keys of arq's formats."""

    @staticmethod
    def _prefix(tag: str) -> str:
        return f"{tag}:arq:" if tag else "arq:"

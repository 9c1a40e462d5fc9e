"""A string that log lines, tracebacks and messages cannot show."""

from __future__ import annotations

from typing import NoReturn

HIDDEN = "<secret>"


class Secret:
    """A secret string. Only `reveal` returns it. It is not a `str`, so that formatting cannot print it by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret in clear."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, format_spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can be neither pickled nor copied")

"""JSON as people write it: a number stands for its own text, and a name that is there twice is an error."""

from __future__ import annotations

import json
from typing import Any


def decode(text: str) -> Any:
    """The value of a JSON text, with every number as the text that it was written as.

    The exchange takes numbers as strings; taken this way, an ID of any length or a "0.10" loses nothing.

    Raises:
        ValueError: it is no JSON; the message says where.
    """
    try:
        return json.loads(
            text, parse_int=str, parse_float=str, parse_constant=_no_number, object_pairs_hook=_without_repeats
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is there twice")
    return found

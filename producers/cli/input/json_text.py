"""JSON with two changes: a number is decoded as the text it was written as, and a repeated name is an error."""

from __future__ import annotations

import json
from typing import Any


def decode(text: str) -> Any:
    """Decode a JSON text; every number becomes a string.

    The exchange expects numbers as strings. Decoded like this, a long ID or a "0.10" loses no digit.

    Raises:
        ValueError: the text is not valid JSON; the message says where.
    """
    try:
        return json.loads(
            text, parse_int=str, parse_float=str, parse_constant=_reject_constant, object_pairs_hook=_unique_names
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _reject_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {repeated!r} appears twice")
    return found

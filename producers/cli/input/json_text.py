"""Strict JSON decoding that returns numbers as the text in which they were written."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


def decode(text: str) -> Any:
    """Decode a JSON text; every number becomes a string.

    The exchange expects numbers as strings, and a long ID or 0.10 would lose digits as a float.

    Raises:
        ValueError: the text is not valid JSON, or an object has a name twice.
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
    decoded = dict(pairs)
    if len(decoded) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {repeated!r} appears twice")
    return decoded

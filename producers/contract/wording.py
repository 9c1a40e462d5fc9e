"""Numbers with nouns, for the messages of this package and of the worker."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """Return a count with its noun, such as "1 change", "2 changes", "1 entry" or "1,200 entries"."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith(("ch", "s")) else f"{noun}s"
    return f"{number:,} {noun}"

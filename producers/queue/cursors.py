"""Cursors: the places of readers in the results of a batch. No I/O.

A cursor is the batch's ID, a slash and a position of its stream. With several shards it has the position in each of
their streams, with commas between; one that is left out is the start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from producers.errors import InvalidCursor

STREAM_START = "0-0"
UINT64_MAX = 2**64 - 1

_match_position = re.compile(r"[0-9]{1,20}-[0-9]{1,20}", re.ASCII).fullmatch


def format_cursor(batch_id: str, position: str) -> str:
    """Return the cursor of a position in a batch's stream of results, or of joined ones."""
    return f"{batch_id}/{position}"


def join_positions(positions: Sequence[str]) -> str:
    """Return the positions in the streams of several shards as one text."""
    return ",".join("" if position == STREAM_START else position for position in positions)


def parse_cursor(batch_id: str, cursor: str | None, shards: int = 1) -> list[str]:
    """Return the position in each shard's stream; the starts for None.

    Raises:
        InvalidCursor: it is not a cursor of this batch.
    """
    if cursor is None or cursor == format_cursor(batch_id, STREAM_START):
        return [STREAM_START] * shards
    if isinstance(cursor, str):
        name, _, stored = cursor.rpartition("/")
        positions = stored.split(",")
        if shards > 1:
            positions = [position or STREAM_START for position in positions]
        if name == batch_id and len(positions) == shards and all(map(_is_position, positions)):
            return positions
    example = format_cursor(batch_id, STREAM_START)
    raise InvalidCursor("after", f"must be a cursor of batch {batch_id}, such as {example!r}", cursor)


def order_of(position: str) -> tuple[int, ...]:
    """Return the key that sorts positions."""
    return tuple(map(int, position.split("-")))


def _is_position(text: str) -> bool:
    return _match_position(text) is not None and max(order_of(text)) < UINT64_MAX

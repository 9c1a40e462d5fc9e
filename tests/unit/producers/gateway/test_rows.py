"""Bodies of rows: however little their lines have, others get their turn, and lines beyond the limit are refused."""

from __future__ import annotations

import asyncio
import io

import pytest

from producers.cli.input.followers import Format
from producers.cli.input.template import Template
from producers.gateway.api.rows import Rows
from producers.gateway.calls.problems import BodyTooLarge
from producers.gateway.calls.service import LOCAL
from producers.gateway.calls.turns import TURN_S, Turns
from tests.support.followers_files import SETTINGS


def _rows(content: bytes, form: Format) -> Rows:
    return Rows(io.BytesIO(content), form, Template.from_json(SETTINGS), LOCAL)


@pytest.mark.parametrize(
    ("start", "line", "form"),
    [(b"user_id\n1\n", b",\n", "csv"), (b"", b"\n", "csv"), (b'"1"\n', b"\n", "jsonl"), (b'"1"\n', b"\r", "jsonl")],
    ids=["rows of empty cells", "lines above the column names", "blank lines", "blank lines that end with CR"],
)
async def test_others_get_their_turn_while_lines_without_a_value_are_skipped(
    start: bytes, line: bytes, form: Format
) -> None:
    """A body can have millions of them, and no row."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    rows = _rows(start + line * 100_000 + (b"user_id\n1" if start == b"" else b""), form)
    report = await rows.validate(200_000)
    counting.cancel()

    assert report.valid == 1
    assert turns > 2


@pytest.mark.parametrize("content", [b"\n" * 11, b'"1"\n' + b"\n" * 10], ids=["no row", "one row"])
async def test_lines_without_a_value_count_towards_the_limit(content: bytes) -> None:
    """Each takes time."""
    with pytest.raises(BodyTooLarge, match="at most 10 rows, empty ones included"):
        await _rows(content, "jsonl").validate(10)


async def test_as_many_rows_as_the_limit_are_read() -> None:
    """The column names are none."""
    assert (await _rows(b"user_id\n1\n2\n", "csv").validate(2)).valid == 2


async def test_a_turn_ends_by_the_clock_and_not_by_the_number_of_steps() -> None:
    """A step of some bytes takes a microsecond, one of 60 kB a thousand times as long."""
    now_s, others = 0.0, 0

    async def count_turns() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    turns = Turns(lambda: now_s)
    for _ in range(1000):
        await turns.give()
    before = others
    now_s = TURN_S
    await turns.give()
    await turns.give()
    counting.cancel()

    assert (before, others) == (0, 1)

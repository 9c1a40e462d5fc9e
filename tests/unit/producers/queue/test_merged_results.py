"""Merging the pages of a batch's results, and its cursors, over several shards."""

from __future__ import annotations

import random

import pytest

from producers import InvalidCursor
from producers.queue.cursors import format_cursor, join_positions, order_of, parse_cursor
from producers.queue.merged_results import merge_pages, part_size
from producers.queue.results import ResultPage
from tests.support.changes import result

SHARDS = 3


def stored(*numbers: int) -> list[str]:
    """Return the positions of a stream's entries."""
    return [f"{number}-0" for number in numbers]


def page_of(stream: list[str], start: str, size: int, *, ends: bool = True) -> ResultPage:
    """Return the page of a stream as a shard gives it."""
    rest = [position for position in stream if order_of(position) > order_of(start)]
    found = rest[:size]
    cursor = format_cursor("b", found[-1] if found else start)
    complete = ends and len(found) == len(rest)
    return ResultPage([result(each) for each in found], found, cursor, complete, is_full=len(found) == size)


def read_all(streams: list[list[str]], limit: int) -> list[list[str]]:
    """Return the pages of merged streams, as the positions of their results."""
    pages: list[list[str]] = []
    cursor = None
    for _ in range(1000):
        starts = parse_cursor("b", cursor, len(streams))
        parts = {
            shard: page_of(stream, starts[shard], part_size(limit, len(streams)))
            for shard, stream in enumerate(streams)
        }
        page = merge_pages("b", starts, parts, limit)
        pages.append([each.job_id for each in page.results])
        assert len(page.results) <= limit
        if page.complete:
            return pages
        assert page.cursor != cursor, "a page without progress"
        cursor = page.cursor
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 100])
def test_what_is_stored_is_read_in_order_of_time_each_result_once(limit: int) -> None:
    """Over all pages, whatever their size and however uneven the shards are."""
    chance = random.Random(7)  # noqa: S311 - no secret
    for _ in range(30):
        streams: list[list[str]] = [[] for _ in range(SHARDS)]
        for number in range(1, chance.randrange(2, 60)):
            streams[chance.choice([0, 0, 0, 1, 2])].append(f"{number}-0")

        read = [position for page in read_all(streams, limit) for position in page]

        assert read == sorted((position for stream in streams for position in stream), key=order_of)


def test_each_result_has_the_cursor_behind_it() -> None:
    """It says what was read of every shard."""
    streams = [stored(1, 4), stored(2, 3), stored()]
    parts = {shard: page_of(stream, "0-0", 10) for shard, stream in enumerate(streams)}

    page = merge_pages("b", ["0-0"] * SHARDS, parts, 10)

    assert page.positions == ["1-0,,", "1-0,2-0,", "1-0,3-0,", "4-0,3-0,"]
    assert (page.cursor, page.complete, page.is_full) == ("b/4-0,3-0,", True, False)


def test_later_results_wait_for_a_shard_that_was_not_read_to_its_end() -> None:
    """It may have earlier ones."""
    parts = {0: page_of(stored(1, 2, 9), "0-0", 2), 1: page_of(stored(3, 4), "0-0", 2, ends=False)}

    page = merge_pages("b", ["0-0", "0-0"], parts, 4)

    assert [each.job_id for each in page.results] == ["1-0", "2-0"]
    assert (page.cursor, page.complete, page.is_full) == ("b/2-0,", False, True)


def test_a_shard_without_a_part_of_the_batch_keeps_its_place() -> None:
    """Its part may come."""
    page = merge_pages("b", ["0-0", "7-0"], {0: page_of(stored(5), "0-0", 10, ends=False)}, 10)

    assert (page.cursor, page.complete) == ("b/5-0,7-0", False)


def test_a_page_passes_what_its_shards_left_out() -> None:
    """Such as results of other outcomes, behind the last that is returned."""
    looked_at = ResultPage([result("5-0")], ["5-0"], "b/8-0", complete=True, malformed=1)

    page = merge_pages("b", ["0-0", "0-0"], {0: looked_at, 1: page_of(stored(), "0-0", 10)}, 10)

    assert (page.cursor, page.malformed, page.complete) == ("b/8-0,", 1, True)


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_cursors_are_read_as_they_are_written(shards: int) -> None:
    """And the start of a queue without shards is the start of all of them."""
    positions = [f"{number}-{number}" for number in range(shards)]
    text = positions[0] if shards == 1 else join_positions(positions)

    assert parse_cursor("b", format_cursor("b", text), shards) == positions
    assert parse_cursor("b", None, shards) == parse_cursor("b", "b/0-0", shards) == ["0-0"] * shards


@pytest.mark.parametrize(
    ("cursor", "shards"),
    [("b/1-0", 2), ("b/1-0,2-0", 1), ("b/1-0,2-0,3-0", 2), ("b/x,", 2), ("a/1-0,", 2), ("b/", 1), ("1-0,", 2)],
)
def test_a_cursor_of_another_number_of_shards_is_refused(cursor: str, shards: int) -> None:
    """As any other text that is none."""
    with pytest.raises(InvalidCursor, match="must be a cursor of batch b"):
        parse_cursor("b", cursor, shards)

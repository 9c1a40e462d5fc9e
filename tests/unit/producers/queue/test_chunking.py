"""Chunked submissions: items in, chunks out; verdicts in, a report out."""

from __future__ import annotations

from typing import Any

import pytest

from producers import BatchConflict, InvalidChange, InvalidId, LaneFull, SettingsChange
from producers.contract.ids import SortableIds
from producers.queue.chunking import ChunkedSubmission, ItemParser, change_parser, item_user_id
from producers.queue.chunks import CHUNK_SIZE, Chunk, content_digest
from producers.queue.fan_out import indexed_change_parser, template_parser
from producers.queue.submit import SubmitOptions
from producers.queue.submit_messages import SubmitRequest, SubmitVerdict
from producers.transport.script_messages import decode
from tests.support.changes import change

OPTIONS = SubmitOptions(100, batch_id="b", content="changes")
INVALID = SettingsChange(user_id="1001", trader_id="t1", settings=[])


def chunked(
    parser: ItemParser | None = None, *, fixed: bool = True, template: SettingsChange | None = None
) -> ChunkedSubmission:
    return ChunkedSubmission(
        parser or indexed_change_parser("b"), OPTIONS, ttl_ms=1000, now_ms=lambda _: 5, hashed=fixed, template=template
    )


def chunks(into: ChunkedSubmission, items: list[Any]) -> list[Chunk]:
    found = [into.add(item) for item in items]
    return [*(chunk for chunk in found if chunk is not None), *into.flush()]


def request_of(into: ChunkedSubmission, chunk: Chunk) -> SubmitRequest:
    """Return what the script is given for a chunk."""
    asked = into.step(chunk).args[0]
    assert isinstance(asked, bytes)
    return decode(SubmitRequest, asked)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, []),
        (1, [1]),
        (CHUNK_SIZE - 1, [CHUNK_SIZE - 1]),
        (CHUNK_SIZE, [CHUNK_SIZE]),
        (CHUNK_SIZE + 1, [CHUNK_SIZE, 1]),
        (2 * CHUNK_SIZE, [CHUNK_SIZE, CHUNK_SIZE]),
    ],
)
def test_items_go_in_chunks_of_500(count: int, sizes: list[int]) -> None:
    """The last chunk takes the rest, none is empty, and indices run on across chunks."""
    into = chunked()

    found = chunks(into, [change()] * count)

    assert [len(chunk.entries) for chunk in found] == sizes
    assert [chunk.number for chunk in found] == list(range(len(sizes)))
    assert [entry.index for chunk in found for entry in chunk.entries] == list(range(count))
    assert into.item_count == count


def test_an_invalid_item_takes_its_place_in_a_chunk() -> None:
    """So correcting it leaves all other items in their chunks."""
    sound = chunks(chunked(), [change(value=str(number + 1)) for number in range(CHUNK_SIZE + 2)])
    into = chunked()
    flawed = chunks(into, [INVALID, *(change(value=str(number + 1)) for number in range(1, CHUNK_SIZE + 2))])

    assert [len(chunk.entries) for chunk in flawed] == [CHUNK_SIZE - 1, 2]
    assert flawed[1].entries == sound[1].entries
    assert [(refusal.index, type(refusal.error)) for refusal in into.refused] == [(0, InvalidChange)]


def test_a_chunk_of_invalid_items_alone_is_not_submitted_but_counted() -> None:
    """The next chunk keeps its number."""
    into = chunked()

    (only,) = chunks(into, [INVALID] * CHUNK_SIZE + [change()])

    assert (only.number, only.entries[0].index, len(into.refused)) == (0, CHUNK_SIZE, CHUNK_SIZE)


def test_the_chunks_of_a_batch_have_a_digest_of_their_items() -> None:
    """Content and order count; chunks that may differ between runs have no digest."""

    def names(*items: SettingsChange, fixed: bool = True) -> tuple[str, str]:
        into = chunked(fixed=fixed)
        (chunk,) = chunks(into, list(items))
        asked = request_of(into, chunk)
        return asked.chunk, asked.chunk_digest

    first = names(change("1"), change("2"))

    assert first == names(change("1"), change("2"))
    assert first[0] == "c0"
    assert first != names(change("2"), change("1"))
    assert first != names(change("1"), change("2", value="9"))
    assert names(change("1"), change("2"), fixed=False) == ("", "")


def test_verdicts_are_added_up_in_the_report() -> None:
    """A full lane refuses only its own item; a change that was there already is counted apart."""
    into = chunked()
    (chunk,) = chunks(into, [change(str(user)) for user in range(4)])

    landed = into.apply_reply(chunk, [5, 1, SubmitVerdict.ALREADY_THERE, SubmitVerdict.LANE_FULL, 7])

    assert landed == [(0, "b..0", False, 0), (1, "b..1", True, 0), (3, "b..3", False, 0)]
    assert (into.item_count, into.accepted, into.already_there) == (4, 2, 1)
    (refusal,) = into.refused
    assert (refusal.index, type(refusal.error), refusal.user_id) == (2, LaneFull, "2")
    assert "user 2 and trader t1 holds 100 changes" in str(refusal.error)


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (SubmitVerdict.OTHER_CONTENT, "other content"),
        (SubmitVerdict.SEALED, "sealed"),
        (SubmitVerdict.CANCELLED, "cancelled"),
    ],
)
def test_a_refused_chunk_is_a_conflict_of_its_batch(verdict: int, why: str) -> None:
    """Nothing of it is counted as accepted."""
    into = chunked()
    (chunk,) = chunks(into, [change("1"), change("2")])

    with pytest.raises(BatchConflict, match=rf"^batch b: it .*{why}.*another batch ID"):
        into.apply_reply(chunk, [5, verdict, verdict])

    assert (into.accepted, into.already_there) == (0, 0)


def test_each_item_gets_its_own_time_of_acceptance() -> None:
    """An iterable may take hours."""
    times = iter(range(100, 200))
    into = ChunkedSubmission(
        indexed_change_parser("b"), OPTIONS, ttl_ms=1000, now_ms=lambda _: next(times), hashed=True
    )

    (chunk,) = chunks(into, [change("1"), change("1")])

    assert chunk.entries[0].submission.payload != chunk.entries[1].submission.payload


def test_something_else_than_an_item_is_refused_as_an_item() -> None:
    """The others go on; a string or an invalid change still yields a user for the report."""
    into = chunked()
    assert chunks(into, [None, "1001", 7, {"userId": "1"}, INVALID]) == []

    assert [type(refusal.error) for refusal in into.refused] == [InvalidChange] * 5
    assert [refusal.user_id for refusal in into.refused] == [None, "1001", None, None, "1001"]


@pytest.mark.parametrize("user", [1001, None, "", "a b", "ü", "x" * 129, b"1001"])
def test_a_malformed_user_of_a_template_is_refused_by_its_field(user: object) -> None:
    """The item behind it is accepted and keeps its index."""
    into = chunked(template_parser("b", change()), fixed=False, template=change())
    assert chunks(into, [user, "1002"])[0].entries[0].index == 1

    (refusal,) = into.refused
    assert isinstance(refusal.error, InvalidChange)
    assert (refusal.error.field, refusal.error.value) == ("userId", user)


def test_malformed_job_ids_of_the_caller_are_refused_one_by_one() -> None:
    """Also IDs that look like a batch's."""
    into = chunked(change_parser(SortableIds().next, lambda each: f"{each.user_id}/"), fixed=False)
    (chunk,) = chunks(into, [change("1"), change("2/"), change("3")])

    assert [entry.submission.job_id for entry in chunk.entries] == ["1/", "3/"]
    assert [(refusal.index, type(refusal.error)) for refusal in into.refused] == [(1, InvalidId)]


def test_digests_of_different_content_differ() -> None:
    """Order, type and nesting count; a digest has 16 characters."""
    digests = {
        content_digest(content) for content in ([1, 2], [2, 1], ["1", "2"], [[1], 2], [], None, change(), INVALID)
    }

    assert len(digests) == 8
    assert {len(digest) for digest in digests} == {16}


def test_a_refused_item_is_reported_with_its_user_if_it_has_one() -> None:
    """A change contains its user, a string is one, and anything else has none."""
    assert [item_user_id(item) for item in (change("7"), "8", 9, None)] == ["7", "8", None, None]

"""Dead letters by name: which are selected, and under which IDs they are replayed."""

from __future__ import annotations

import pytest

from producers import DeadLetter, Outcome
from producers.contract import ids, keyspace
from producers.contract.validation import MAX_BATCH_ID_CHARS, check_batch_id, check_id, check_new_batch_id
from producers.queue.dead_letter_selection import Selection
from producers.queue.dead_letters import make_replay_id, retry_batch_id
from producers.queue.finish import DEAD_OUTCOMES
from tests.support.changes import change

LANE = keyspace.lane("a:b", "t%1")


ENDED_US = 1_790_000_000_000_000


def letter(job_id: str) -> DeadLetter:
    replay_id = make_replay_id(job_id, ENDED_US)
    return DeadLetter(job_id, "1001", "t1", Outcome.REJECTED, ENDED_US // 1000, change(), None, replay_id)


@pytest.mark.parametrize(
    "job_id", ["order-7", "b..1001", "b..x..y", "b//1001", "b//x//y", "x" * 128, "b" * 64 + "//" + "u" * 62, "~", "~~"]
)
def test_a_dead_letter_is_replayed_under_a_valid_id_that_is_always_the_same(job_id: str) -> None:
    """And under another ID each time it dies again."""
    seen = [job_id]
    for second in range(12):
        again = make_replay_id(seen[-1], ENDED_US + second * 1_000_000)
        assert check_id("job_id", again) == again
        assert again == make_replay_id(seen[-1], ENDED_US + second * 1_000_000)
        seen.append(again)

    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("job_id", ["b..1001", "b..x...y", "b//1001", "a..b//1001"])
def test_a_replayed_change_belongs_to_no_batch(job_id: str) -> None:
    """Its dead letter did, but the mark of the batch is replaced in the new ID."""
    assert ids.batch_id_of(make_replay_id(job_id, ENDED_US)) is None


def test_different_dead_letters_are_replayed_under_different_ids() -> None:
    """Also letters with similar IDs, of one microsecond, or of one ID that died twice."""
    names = [
        "b..1",
        "b.1",
        "c//1",
        "b/1",
        "b~1",
        "b1",
        "b..1.2",
        "b..12",
        "b/1..2",
        "x" * 127,
        "x" * 128,
        "x" * 127 + "y",
    ]

    for _ in range(3):
        names = [make_replay_id(name, ENDED_US) for name in names]
        assert len(set(names)) == 12
    assert make_replay_id("nightly", ENDED_US) != make_replay_id("nightly", ENDED_US + 1)


@pytest.mark.parametrize(
    ("chosen", "holds"),
    [
        ({}, True),
        ({"user_id": "a:b"}, True),
        ({"user_id": "a"}, False),
        ({"user_id": "a%3Ab"}, False),
        ({"trader_id": "t%1"}, True),
        ({"trader_id": "t"}, False),
        ({"batch_id": "july"}, True),
        ({"batch_id": "jul"}, False),
        ({"job_id": "july..1001"}, True),
        ({"job_id": "july//1001"}, True),
        ({"job_id": "july..100"}, False),
        ({"user_id": "a:b", "batch_id": "june"}, False),
    ],
)
def test_a_dead_letter_is_selected_if_every_given_filter_matches(chosen: dict[str, str], holds: bool) -> None:
    """IDs are compared unescaped and as a whole, so a prefix does not match."""
    for job_id in ("july..1001", "july//1001"):
        selection = Selection(**chosen)  # type: ignore[arg-type]
        assert selection.matches(LANE, job_id) is holds
        assert selection.needle in f"{LANE} {job_id}".encode() or not holds


def test_a_selection_reads_only_the_index_of_its_outcome() -> None:
    """Without an outcome it reads the indexes of all of them."""
    assert list(Selection().outcomes) == list(DEAD_OUTCOMES)
    assert list(Selection(outcome=Outcome.EXHAUSTED).outcomes) == [Outcome.EXHAUSTED]


def test_the_same_newest_dead_letter_makes_the_same_batch_of_retries() -> None:
    """A repeated replay thus finds its batch; the ID of the longest batch is shortened to fit."""
    one, other = (letter(job_id).replay_id for job_id in ("b..1", "b..2"))

    assert retry_batch_id("b", one) == retry_batch_id("b", one)
    assert len({retry_batch_id("b", one), retry_batch_id("b", other), retry_batch_id("b", one, 1)}) == 3
    longest = retry_batch_id("b" * MAX_BATCH_ID_CHARS, one)
    assert check_batch_id(longest) == longest
    assert retry_batch_id("b" * MAX_BATCH_ID_CHARS, other) != longest


@pytest.mark.parametrize("batch_id", ["a..b", "b" * 49 + ".c", "...", "b."])
def test_the_batch_of_retries_has_an_id_that_a_new_batch_may_have(batch_id: str) -> None:
    """Whatever an earlier version's batch was called, and wherever the ID is cut."""
    retried = retry_batch_id(batch_id, letter("b..1").replay_id)

    assert check_new_batch_id(retried) == retried

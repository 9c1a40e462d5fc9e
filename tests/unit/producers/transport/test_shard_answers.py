"""What the shards of a queue answered, as the answer of the queue."""

from __future__ import annotations

import pytest

from producers import LayoutMismatch, ProducerError, QueueFull, QueueUnavailable, ShardsUnavailable
from producers.transport.shard_answers import answers_of_all

ACTION = "pausing everything"
AWAY = QueueUnavailable(f"{ACTION}: Redis did not answer; start it")


def test_the_answers_come_in_the_order_of_the_shards() -> None:
    """Also those of a part of the shards."""
    assert answers_of_all({4: "a", 2: "b"}, ACTION) == ["a", "b"]


def test_an_error_says_which_shards_did_the_call_and_which_did_not() -> None:
    """It has the answers of the former, and says what to do."""
    with pytest.raises(ShardsUnavailable) as raised:
        answers_of_all({0: AWAY, 1: "a", 2: AWAY, 3: "b"}, ACTION)

    assert str(raised.value) == (
        "pausing everything: done in shards 1, 3, not confirmed by shards 0, 2: Redis did not answer; start it;"
        " repeat it when shards 0, 2 can answer"
    )
    assert raised.value.answers == ["a", "b"]
    assert raised.value.partial is None


@pytest.mark.parametrize("error", [LayoutMismatch("other"), QueueFull("full")])
def test_an_error_that_says_more_goes_before(error: ProducerError) -> None:
    """Callers tell it by its class."""
    with pytest.raises(type(error)):
        answers_of_all({0: AWAY, 1: "a", 2: error}, ACTION)


def test_shards_that_are_all_away_are_one_queue_that_is_away() -> None:
    """The error is that of the first."""
    with pytest.raises(QueueUnavailable) as raised:
        answers_of_all({0: AWAY, 1: QueueUnavailable("other")}, ACTION)

    assert raised.value is AWAY

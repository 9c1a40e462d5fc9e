"""The history that a lane keeps of its head between attempts."""

from __future__ import annotations

import msgspec
import pytest

from producers.contract.attempt_history import MAX_ATTEMPTS, AttemptHistory, decode, encode
from tests.support.changes import attempt


def test_nothing_stored_is_an_empty_history() -> None:
    """A lane whose head was never attempted has no stored history."""
    assert decode(None) == AttemptHistory() == AttemptHistory(attempts=[], tries=0, first_sent_at_ms=None)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xc1",
        b"\xa1\xff",
        b"x" * 1_000,
        encode(AttemptHistory(tries=7))[:-1],
        msgspec.msgpack.encode({"tries": "seven"}),
        b"\x81\xa1x" + b"\x91" * 60_000 + b"\xc0",
    ],
    ids=["empty", "no msgpack", "no text", "text", "truncated", "wrong type", "nested deeply"],
)
def test_a_malformed_history_counts_as_none(stored: bytes) -> None:
    """A try too many is better than a change that never ends."""
    assert decode(stored) == AttemptHistory()


def test_a_throttled_attempt_does_not_count_as_a_try() -> None:
    """A 429 says nothing about the change, so it is recorded without using up a try."""
    state = AttemptHistory().with_attempt(attempt("throttled")).with_attempt(attempt())

    assert (len(state.attempts), state.tries) == (2, 1)


def test_the_time_of_the_first_request_is_kept() -> None:
    """Later attempts do not move it."""
    state = AttemptHistory().with_attempt(attempt(at_ms=5)).with_attempt(attempt(at_ms=9))

    assert state.first_sent_at_ms == 5


def test_the_last_attempts_are_kept_and_all_tries_counted() -> None:
    """Retries may go on for hours, so only the list of attempts is bounded."""
    state = AttemptHistory()
    for number in range(MAX_ATTEMPTS + 5):
        state = state.with_attempt(attempt(at_ms=number))

    assert [each.at_ms for each in state.attempts] == list(range(5, MAX_ATTEMPTS + 5))
    assert (state.tries, state.first_sent_at_ms) == (MAX_ATTEMPTS + 5, 0)


def test_adding_an_attempt_leaves_the_old_history_unchanged() -> None:
    """`with_attempt` returns a new history, which shares no list with the old one."""
    before = AttemptHistory()
    before.with_attempt(attempt())

    assert before == AttemptHistory()

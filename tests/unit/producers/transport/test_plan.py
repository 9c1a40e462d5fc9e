"""Plans: steps yield themselves, and return parsed replies of known types."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

from producers.transport.commands import EXISTS, GET, HDEL, MGET, TIME_US, ZRANGE_WITHSCORES
from producers.transport.plan import Plan, RunScript, Step, T, Transaction
from producers.transport.scripts import Script

SCRIPT = Script("return {1, 2}")


def answered(plan: Plan[T], reply: Any) -> tuple[T, Step[Any]]:
    """What a plan of one step returns for a reply; and its step."""
    step = next(plan)
    with pytest.raises(StopIteration) as done:
        plan.send(reply)
    return done.value.value, step


def test_a_script_run_returns_its_reply_parsed() -> None:
    """By the function that the step was made with."""
    step = RunScript(SCRIPT, [], parse=lambda reply: [str(number) for number in reply])

    found, yielded = answered(step.__iter__(), [1, 2])

    assert assert_type(found, list[str]) == ["1", "2"]
    assert yielded is step


def test_a_script_run_without_a_parser_returns_its_reply() -> None:
    """Its type is the one that the caller named."""
    found, _ = answered(RunScript[int](SCRIPT, []).__iter__(), 7)

    assert assert_type(found, int) == 7


def test_a_command_is_a_step_of_its_own() -> None:
    """Its reply comes without the list that is around it."""
    found, step = answered(MGET("a", "b").__iter__(), [[b"1", None]])

    assert assert_type(found, list[bytes | None]) == [b"1", None]
    assert isinstance(step, Transaction)
    assert step.commands == [("MGET", "a", "b")]


def test_a_transaction_returns_a_tuple_of_the_commands_replies() -> None:
    """Each parsed as that of the command alone."""
    found, step = answered(Transaction(GET("a"), EXISTS("b"), TIME_US()).__iter__(), [None, 1, (2, 3)])

    assert assert_type(found, tuple[bytes | None, int, int]) == (None, 1, 2_000_003)
    assert isinstance(step, Transaction)
    assert step.commands == [("GET", "a"), ("EXISTS", "b"), ("TIME",)]


def test_nested_transactions_are_sent_as_one_and_keep_their_shape() -> None:
    """A group of commands for each of several keys, and one more."""
    looks = Transaction(*(Transaction(GET(key), EXISTS(key)) for key in "ab"))

    found, step = answered(Transaction(looks, TIME_US()).__iter__(), [b"1", 1, None, 0, (0, 5)])

    assert assert_type(found, tuple[tuple[tuple[bytes | None, int], ...], int]) == (((b"1", 1), (None, 0)), 5)
    assert isinstance(step, Transaction)
    assert len(step.commands) == 5


def test_scores_are_paired_with_their_members() -> None:
    """As numbers."""
    found, _ = answered(ZRANGE_WITHSCORES("z", 0, -1).__iter__(), [[b"a", b"1", b"b", b"2.5"]])

    assert assert_type(found, list[tuple[bytes, float]]) == [(b"a", 1.0), (b"b", 2.5)]


def test_a_transaction_is_idempotent_if_all_of_its_commands_are() -> None:
    """Reads are; writes are not."""
    assert Transaction(GET("a"), Transaction(EXISTS("b"), TIME_US())).idempotent
    assert not Transaction(GET("a"), HDEL("h", "f")).idempotent
    assert not RunScript[Any](SCRIPT, []).idempotent

"""The errors of the producers' side: one tree, exported whole."""

from __future__ import annotations

import pickle

import pytest

import producers
from producers import BatchRefused, InvalidArgument, InvalidChange, ProducerError, Refusal, errors

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_the_common_base_and_is_exported(error: type[Exception]) -> None:
    """A caller catches `ProducerError` and imports all of them from `producers`."""
    assert issubclass(error, ProducerError)
    assert getattr(producers, error.__name__) is error


def test_the_tree_in_the_docstring_names_every_error() -> None:
    """It names no error that does not exist, either."""
    drawn = {line.partition("── ")[2].split()[0] for line in str(errors.__doc__).splitlines() if "── " in line}

    assert drawn == {error.__name__ for error in ERRORS} - {"ProducerError"}


def test_a_refused_batch_is_reported_with_its_first_refusal() -> None:
    """The message has the number of refusals; `refused` has them all."""
    refused = [Refusal(3, InvalidChange("userId", "must be an ID", "")), Refusal(5, ProducerError("other"))]

    error = BatchRefused(refused)

    assert str(error).startswith(
        "2 of the items cannot be accepted, the first (index 3): userId: must be an ID; got ''"
    )
    assert error.refused == refused


@pytest.mark.parametrize("value", ["x" * 100_000, ["y"] * 100_000])
def test_an_error_message_stays_short_whatever_the_value(value: object) -> None:
    """A value of 100,000 characters or items leaves it below 200 characters."""
    assert len(str(InvalidChange("field", "rule", value))) < 200


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_reaches_another_process_as_it_was(error: type[Exception]) -> None:
    """With its message and its attributes: pools of processes, such as Celery's, pickle what a call raises."""
    broken_rule = ("ttl_s", "must be above 0", -1)
    arguments: tuple[object, ...] = ("a message",)
    if issubclass(error, InvalidChange | InvalidArgument):
        arguments = broken_rule
    elif issubclass(error, BatchRefused):
        arguments = ([Refusal(3, InvalidArgument(*broken_rule))],)
    raised = error(*arguments)

    received = pickle.loads(pickle.dumps(raised))  # noqa: S301 - our own bytes

    assert (type(received), str(received)) == (error, str(raised))
    assert vars(received).keys() == vars(raised).keys()
    assert getattr(received, "rule", None) == getattr(raised, "rule", None)

"""The worker's errors."""

from __future__ import annotations

import pytest

from worker.errors import CredentialsError, TransportError, UnknownUser, WorkerError


@pytest.mark.parametrize("error", [CredentialsError, UnknownUser, TransportError])
def test_one_except_clause_catches_every_error_of_the_package(error: type[Exception]) -> None:
    """The common base is `WorkerError`."""
    assert issubclass(error, WorkerError)


def test_an_unknown_user_error_names_user_source_and_remedy() -> None:
    """The user is also an attribute."""
    error = UnknownUser("1001", source="file keys.toml", remedy="add it")

    assert str(error) == "no credentials for user '1001' in file keys.toml; add it"
    assert error.user_id == "1001"


def test_a_user_id_of_any_length_and_content_makes_a_message_of_one_short_line() -> None:
    """The ID comes from a job and so is untrusted input."""
    message = str(UnknownUser("x\n" * 10_000, source="file keys.toml", remedy="add it"))

    assert "\n" not in message
    assert len(message) < 250


def test_a_transport_error_says_whether_the_request_may_have_arrived() -> None:
    """A request that may have arrived may also have been applied."""
    assert TransportError("reset", sent=True).sent
    assert not TransportError("refused", sent=False).sent

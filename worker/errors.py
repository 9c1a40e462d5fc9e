"""The errors of the worker's side.

    WorkerError
    ├── CredentialsError         the source of credentials cannot be used; the message says what to do
    │   └── UnreadableRecord     a sealed record that this key ring does not open
    ├── CredentialsUnavailable   the source cannot say just now; the change waits, nothing is failed
    ├── UnknownUser              the source is fine, but has no credentials for this user
    ├── TooLate                  a request was not sent, since the time for it was over
    └── TransportError           no readable reply came back from the exchange

None of their messages ever holds a key, a passphrase, a signature or a header.
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of all errors of this package."""


class CredentialsError(WorkerError):
    """Credentials that cannot be used; one line that names the source, the user and the field, never a value."""


class MalformedRecord(CredentialsError):
    """A sealed record that cannot be opened.

    Attributes:
        user_id: whose record it is.
        problem: why, and what to do; it names the key by its ID.
    """

    def __init__(self, user_id: str, problem: str) -> None:
        super().__init__(f"the sealed credentials of user {user_id[:80]!r} cannot be read: {problem}")
        self.user_id = user_id
        self.problem = problem


class CredentialsUnavailable(WorkerError):
    """Credentials that cannot be had just now: the source is away, too slow, or has them in a form it cannot open.

    Nothing is known against the user, so a change that meets this waits and is tried again.
    """


class UnknownUser(WorkerError, LookupError):
    """A user without credentials.

    Attributes:
        user_id: the user that was asked for.
    """

    def __init__(self, user_id: str, *, source: str, remedy: str) -> None:
        super().__init__(f"no credentials for user {user_id[:80]!r} in {source}; {remedy}")
        self.user_id = user_id


class SendDeadlinePassed(WorkerError):
    """A request of which not a byte was sent, since the time for it was over: its lane may be another's by now."""


class TransportError(WorkerError):
    """A request without a readable reply.

    Attributes:
        sent: False if not a byte of the request left this process; True if the exchange may have read it, and so may
            have applied it.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent

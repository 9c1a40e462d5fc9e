"""The errors of the worker's side.

    WorkerError
    ├── CredentialsError         the source of credentials cannot be used; the message says what to do
    │   └── MalformedRecord      a sealed record cannot be opened with this key ring
    ├── CredentialsUnavailable   the source does not answer just now; the change waits and is tried again
    │   └── UnusableCredentials  the source answers, but what it has of this user cannot be used; the change waits too
    ├── UnknownUser              the source has no credentials for this user
    ├── NotSent                  a request was not sent, because the worker's session had ended
    └── TransportError           the exchange gave no readable reply
        ├── Aborted              the worker gave the request up while it was under way
        └── ProxyFailed          the egress's proxy made no connection to the exchange

No message contains a key, a passphrase, a signature or a header.
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base class of all errors of this package."""


class CredentialsError(WorkerError):
    """Credentials that cannot be used. The message is one line that names source, user and field, never a value."""


class MalformedRecord(CredentialsError):
    """A sealed record that cannot be opened.

    Attributes:
        user_id: The record's user.
        problem: The reason, and what to do. It names the key by its ID.
    """

    def __init__(self, user_id: str, problem: str) -> None:
        super().__init__(f"the sealed credentials of user {user_id[:80]!r} cannot be read: {problem}")
        self.user_id = user_id
        self.problem = problem


class CredentialsUnavailable(WorkerError):
    """Credentials that are not available just now: their source is down, too slow, or cannot decode them.

    The user may have valid credentials, so the change waits and is tried again.
    """


class UnusableCredentials(CredentialsUnavailable):
    """Credentials that are there, but cannot be used until somebody corrects them."""


class UnknownUser(WorkerError, LookupError):
    """A user without credentials.

    Attributes:
        user_id: The user.
    """

    def __init__(self, user_id: str, *, source: str, remedy: str) -> None:
        super().__init__(f"no credentials for user {user_id[:80]!r} in {source}; {remedy}")
        self.user_id = user_id


class NotSent(WorkerError):
    """A request of which no byte was sent, because the worker's session had ended: others may have its lane."""


class TransportError(WorkerError):
    """A request without a readable reply.

    Attributes:
        sent: False if no byte of the request left this process; True if the exchange may have received and applied it.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Aborted(TransportError):
    """A request that the worker gave up while it was under way: the exchange may have it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class ProxyFailed(TransportError):
    """A request that was not sent, because the proxy of the egress made no connection: no user's fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)

"""Source of credentials for many users and many machines: sealed records in Redis."""

from __future__ import annotations

import logging
from hashlib import blake2b

from redis.exceptions import RedisError

from producers.transport.explain import describe
from worker.credentials.key_ring import KeyRing
from worker.credentials.model import Credentials
from worker.credentials.sealed_records import SealedRecords
from worker.credentials.sealing import unseal
from worker.errors import CredentialsUnavailable, MalformedRecord, UnknownUser, UnusableCredentials
from worker.logs import Event, log_fields

log = logging.getLogger(__name__)

NO_CREDENTIALS = "there are no credentials at all in Redis; set them with: copytrade credentials set"

MAX_EXAMINED = 100_000
"""Records that `faults` opens: some seconds of work."""

MAX_REPORTED = 10_000
"""Users whose malformed record was logged and is not logged again."""


class RedisCredentials:
    """Reads and opens a user's record at every call, without a cache."""

    def __init__(self, records: SealedRecords, ring: KeyRing) -> None:
        self._records = records
        self._ring = ring
        self._reported: dict[str, bytes] = {}

    async def count(self) -> int:
        """Return the number of users with credentials.

        Raises:
            CredentialsUnavailable: Redis does not answer, or no user has credentials.
        """
        try:
            users = await self._records.count()
        except (RedisError, OSError) as exc:
            raise _unavailable(exc) from exc
        if not users:
            raise CredentialsUnavailable(NO_CREDENTIALS)
        return users

    async def faults(self) -> list[str]:
        """Return what is wrong with each record that cannot be opened, of the first `MAX_EXAMINED` records.

        Raises:
            CredentialsUnavailable: Redis does not answer.
        """
        found = []
        examined = 0
        try:
            async for page in self._records.pages():
                for user_id, record in page:
                    try:
                        unseal(record, user_id, self._ring)
                    except MalformedRecord as exc:
                        found.append(str(exc))
                examined += len(page)
                if examined >= MAX_EXAMINED:
                    break
        except (RedisError, OSError) as exc:
            raise _unavailable(exc) from exc
        return found

    async def get(self, user_id: str) -> Credentials:
        """Return the credentials of a user.

        Raises:
            UnknownUser: other users have credentials, this one has none.
            UnusableCredentials: the record cannot be opened.
            CredentialsUnavailable: Redis does not answer, or no user has credentials, which means that Redis lost its
                data or is the wrong one.
        """
        try:
            record = await self._records.get(user_id)
        except (RedisError, OSError) as exc:
            raise _unavailable(exc) from exc
        if record is None:
            await self.count()
            raise UnknownUser(user_id, source="Redis", remedy="add them with: copytrade credentials set")
        try:
            credentials = unseal(record, user_id, self._ring)
        except MalformedRecord as exc:
            self._log_once(exc, record)
            raise UnusableCredentials(str(exc)) from None
        self._reported.pop(user_id, None)
        return credentials

    def _log_once(self, error: MalformedRecord, record: bytes) -> None:
        """Log each malformed record once, not at every retry of its user's changes."""
        digest = blake2b(record, digest_size=8).digest()
        if self._reported.pop(error.user_id, None) != digest:
            extra = log_fields(Event.CREDENTIALS_UNUSABLE, user=error.user_id)
            log.error("%s; changes of this user wait", error, extra=extra)
        self._reported[error.user_id] = digest
        if len(self._reported) > MAX_REPORTED:
            del self._reported[next(iter(self._reported))]


def _unavailable(exc: Exception) -> CredentialsUnavailable:
    return CredentialsUnavailable(f"the credentials in Redis cannot be read: {describe(exc)}")

"""Credentials from sealed records in Redis, for many users and machines."""

from __future__ import annotations

import logging
from hashlib import blake2b

from redis.exceptions import RedisError

from worker.credentials.key_ring import KeyRing
from worker.credentials.model import Credentials
from worker.credentials.sealed_records import SealedRecords
from worker.credentials.sealing import unseal
from worker.errors import CredentialsUnavailable, MalformedRecord, UnknownUser

log = logging.getLogger(__name__)

NOBODY = "there are no credentials at all in Redis; set them with: copytrade credentials set"

MOST_REPORTED = 10_000
"""Users whose unreadable records are remembered, so that each is logged once."""


class RedisCredentials:
    """Reads and opens a user's record each time it is asked; nothing is kept."""

    def __init__(self, records: SealedRecords, ring: KeyRing) -> None:
        self._records = records
        self._ring = ring
        self._reported: dict[str, bytes] = {}

    async def count(self) -> int:
        """How many users it has.

        Raises:
            CredentialsUnavailable: Redis does not answer, or nobody has credentials.
        """
        try:
            users = await self._records.count()
        except (RedisError, OSError) as exc:
            raise _away(exc) from exc
        if not users:
            raise CredentialsUnavailable(NOBODY)
        return users

    async def get(self, user_id: str) -> Credentials:
        """The credentials of a user.

        Raises:
            UnknownUser: others have credentials, this user has none.
            CredentialsUnavailable: Redis does not answer, the record does not open, or nobody at all has credentials:
                then these were lost, or this is another Redis than the one where they were set.
        """
        try:
            record = await self._records.get(user_id)
        except (RedisError, OSError) as exc:
            raise _away(exc) from exc
        if record is None:
            await self.count()
            raise UnknownUser(user_id, source="Redis", remedy="add them with: copytrade credentials set")
        try:
            credentials = unseal(record, user_id, self._ring)
        except MalformedRecord as exc:
            self._report(exc, record)
            raise CredentialsUnavailable(str(exc)) from None
        self._reported.pop(user_id, None)
        return credentials

    def _report(self, error: MalformedRecord, record: bytes) -> None:
        """Tells of each unreadable record once, though its user's changes are tried again and again."""
        digest = blake2b(record, digest_size=8).digest()
        if self._reported.pop(error.user_id, None) != digest:
            log.error("%s; changes of this user wait", error)
        self._reported[error.user_id] = digest
        if len(self._reported) > MOST_REPORTED:
            del self._reported[next(iter(self._reported))]


def _away(exc: Exception) -> CredentialsUnavailable:
    return CredentialsUnavailable(f"the credentials in Redis cannot be read ({type(exc).__name__}: {exc})")

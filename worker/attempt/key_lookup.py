"""Look-ups of users' API keys in the source of credentials, with a time limit."""

from __future__ import annotations

import asyncio

from worker.credentials.model import Credentials, CredentialStore, Invalidatable
from worker.errors import CredentialsUnavailable, UnknownUser, UnusableCredentials
from worker.metrics import WorkerMetrics

CREDENTIALS_WAIT_S = 5.0
"""Limit for a reply of the source of credentials. A vault normally answers in milliseconds, so a slower one is down."""

AWAY, INVALID, MISSING = "away", "invalid", "missing"
"""Kinds of failed look-ups, in the metrics."""


class KeyLookup:
    """Looks up API keys for attempts."""

    def __init__(self, credentials: CredentialStore, metrics: WorkerMetrics) -> None:
        self._credentials = credentials
        self._errors = metrics.credentials_errors
        for kind in (AWAY, INVALID, MISSING):
            self._errors.begin(kind)

    async def get(self, user_id: str, *, refresh: bool) -> Credentials:
        """Return a user's keys; with `refresh`, bypass the cache, since the user may have replaced them.

        Raises:
            UnknownUser: the source has none for this user.
            CredentialsUnavailable: it cannot say now, or did not answer in time.
        """
        if refresh and isinstance(self._credentials, Invalidatable):
            self._credentials.invalidate(user_id)
        try:
            async with asyncio.timeout(CREDENTIALS_WAIT_S):
                return await self._credentials.get(user_id)
        except UnknownUser:
            self._errors.add(MISSING)
            raise
        except UnusableCredentials:
            self._errors.add(INVALID)
            raise
        except CredentialsUnavailable:
            self._errors.add(AWAY)
            raise
        except TimeoutError:
            self._errors.add(AWAY)
            problem = f"the source of credentials did not answer within {CREDENTIALS_WAIT_S:g} s"
            raise CredentialsUnavailable(problem) from None

    async def have_changed(self, credentials: Credentials) -> bool:
        """Return whether the user's keys differ from those that were just rejected; False if they are unavailable."""
        try:
            current = await self.get(credentials.user_id, refresh=True)
        except (UnknownUser, CredentialsUnavailable):
            return False
        return current.fingerprint != credentials.fingerprint

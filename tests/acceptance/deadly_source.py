"""A source of credentials that kills its worker for one user: a stand-in for any change that kills its worker."""

from __future__ import annotations

import os
import signal

from worker.credentials.model import Credentials, CredentialStore
from worker.secret import Secret
from worker.settings import WorkerSettings

DEADLY = "1013"
"""The user whose changes are deadly."""


class Deadly:
    """The credentials that `ops.stack` writes, for every user but one."""

    async def get(self, user_id: str) -> Credentials:
        """Return a user's credentials, or kill the process."""
        if user_id == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        api_key, secret_key, passphrase = (Secret(f"{kind}-{user_id}") for kind in ("key", "secret", "pass"))
        return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase)


def source(_settings: WorkerSettings) -> CredentialStore:
    """The factory that COPYTRADE_CREDENTIALS=python:tests.acceptance.deadly_source:source names."""
    return Deadly()

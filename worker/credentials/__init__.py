"""Users' API keys: types, sources (file, Redis, your own), sealing in Redis, and the command to manage them."""

from __future__ import annotations

from worker.credentials.model import Credentials, CredentialStore, read_credentials
from worker.errors import CredentialsError
from worker.secret import Secret

__all__ = ["CredentialStore", "Credentials", "CredentialsError", "Secret", "read_credentials"]

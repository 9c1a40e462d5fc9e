"""Users' API keys: their types, their sources, and how they are sealed in Redis."""

from __future__ import annotations

from worker.credentials.model import Credentials, CredentialStore, read_credentials
from worker.secret import Secret

__all__ = ["CredentialStore", "Credentials", "Secret", "read_credentials"]

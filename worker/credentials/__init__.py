"""Users' API keys: their types, where they come from, and how they are sealed."""

from __future__ import annotations

from worker.credentials.model import Credentials, CredentialStore, Forgetful, read_credentials
from worker.secret import Secret

__all__ = ["CredentialStore", "Credentials", "Forgetful", "Secret", "read_credentials"]

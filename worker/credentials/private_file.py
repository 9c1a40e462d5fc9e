"""Reading of files with secrets. A file that other users can access is rejected."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from worker.errors import CredentialsError


def read_private(path: Path, what: str) -> tuple[os.stat_result, bytes]:
    """Return a file's status and content, both from the same open file.

    Args:
        path: the file.
        what: what the file is, such as "credentials file"; error messages begin with it.

    Raises:
        CredentialsError: it cannot be read, or other users have access to it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except OSError as exc:
        raise CredentialsError(f"{what} {path} cannot be read: {exc.strerror}") from exc
    if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise CredentialsError(f"{what} {path} is open to other users; run: chmod 600 {path}")
    return status, content

"""Files with secrets in them, which only their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from worker.errors import CredentialsError


def read_private(path: Path, what: str) -> tuple[os.stat_result, bytes]:
    """What a file says and what the system says about it, both of one moment.

    Args:
        path: where it is.
        what: begins the message of an error, such as "credentials file".

    Raises:
        CredentialsError: it cannot be read, or others may read it.
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

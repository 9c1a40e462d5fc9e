"""Source of credentials for one machine with few users: a TOML file."""

from __future__ import annotations

import asyncio
import logging
import os
import tomllib
from pathlib import Path

from worker.clock import Clock, SystemClock
from worker.credentials.model import SECRET_FIELDS, Credentials, read_credentials
from worker.credentials.private_file import decode_text, read_private
from worker.errors import CredentialsError, UnknownUser

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
"""Time between checks for changes, each a `stat`."""

_Stamp = tuple[int, int, int, int]


class FileCredentials:
    """Credentials in a TOML file that only its owner can read.

        [users.1001]
        api_key = "..."
        secret_key = "..."
        passphrase = "..."
        demo = false

    A changed file is read again. If it is invalid, one line is logged and the earlier content stays in use. Replace the
    file by a rename, because a file that is written in place may be read when it is half-written.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock | None = None) -> None:
        """Read the file.

        Args:
            path: the file.
            clock: measures the time between checks for changes.

        Raises:
            CredentialsError: the file cannot be used.
        """
        self._path = Path(path)
        self._clock = clock or SystemClock()
        self._stamp: _Stamp | None
        self._stamp, self._users = _read(self._path)
        self._next_check_s = self._clock.monotonic() + CHECK_INTERVAL_S
        self._refresh_lock = asyncio.Lock()

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self._users)

    async def get(self, user_id: str) -> Credentials:
        """Return the credentials of a user.

        Raises:
            UnknownUser: the file has none for this user.
        """
        if self._check_is_due():
            async with self._refresh_lock:  # concurrent callers wait for one refresh instead of using old content
                if self._check_is_due():
                    await self._refresh()
        try:
            return self._users[user_id]
        except KeyError:
            remedy = "add a table [users.<id>] with api_key, secret_key and passphrase"
            raise UnknownUser(user_id, source=f"file {self._path}", remedy=remedy) from None

    def invalidate(self, _user_id: str) -> None:
        """Make the next `get` check the file."""
        self._next_check_s = self._clock.monotonic()

    def _check_is_due(self) -> bool:
        return self._clock.monotonic() >= self._next_check_s

    async def _refresh(self) -> None:
        """Read the file again if it has changed; if it is invalid, log why."""
        try:
            stamp = _stat(self._path)
            if stamp != self._stamp:
                # In a thread, because parsing thousands of users would block the event loop.
                self._stamp, self._users = await asyncio.to_thread(_read, self._path)
        except CredentialsError as error:
            self._stamp = stamp  # so that the same content is not read and logged at every check
            log.error("%s; the credentials that were read before stay in use", error)  # noqa: TRY400 - the message is enough
        finally:
            self._next_check_s = self._clock.monotonic() + CHECK_INTERVAL_S


def _stat(path: Path) -> _Stamp | None:
    """Return a value that changes when the file does; None if there is no file."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(status: os.stat_result) -> _Stamp:
    # It includes ctime because a chmod, which can make the file usable, does not change mtime.
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> tuple[_Stamp, dict[str, Credentials]]:
    status, content = read_private(path, "credentials file")
    return _stamp(status), _parse(content, f"credentials file {path}")


def _parse(content: bytes, source: str) -> dict[str, Credentials]:
    """Return the users of a file by their IDs."""
    text = decode_text(content, source)
    problem = ""
    try:
        users = tomllib.loads(text).get("users")
    except tomllib.TOMLDecodeError as exc:
        # Only the position is taken from the parser's message; the rest may quote the file.
        problem = "is not valid TOML" + "".join(str(exc).partition(" (at ")[1:])
    if problem:
        # Raised outside `except`, so without cause: the parser's errors contain the file.
        raise CredentialsError(f"{source} {problem}; it must contain [users.<id>] tables")
    if not isinstance(users, dict) or not users:
        # An empty file is probably being written: a worker without users makes no sense.
        raise CredentialsError(f"{source} has no [users.<id>] table; add one for each user")
    return {user_id: _user(user_id, table, source) for user_id, table in users.items()}


def _user(user_id: str, table: object, source: str) -> Credentials:
    where = f"{source}, user {user_id[:80]!r}"
    if not isinstance(table, dict):
        raise CredentialsError(f"{where}: must be a table [users.<id>] with {', '.join(SECRET_FIELDS)}")
    return read_credentials(user_id, table, where)

"""Credentials from a TOML file, for one machine and few users."""

from __future__ import annotations

import asyncio
import logging
import os
import tomllib
from pathlib import Path

from worker.clock import Clock, SystemClock
from worker.credentials.model import SECRET_FIELDS, Credentials, read_credentials
from worker.credentials.private_file import read_private
from worker.errors import CredentialsError, UnknownUser

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
"""How often a file is looked at: a key that was replaced is used within this, and a stat costs nothing this seldom."""

_Stamp = tuple[int, int, int, int]


class FileCredentials:
    """Credentials in a TOML file that only its owner can read.

        [users.1001]
        api_key = "..."
        secret_key = "..."
        passphrase = "..."
        demo = false

    A changed file is read again. If it cannot be used, what was read before stays in force and one line is logged.
    Replace the file by a rename: one that is written in place may be read half-written.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock | None = None) -> None:
        """Reads the file.

        Args:
            path: the file.
            clock: tells when to look at the file again.

        Raises:
            CredentialsError: the file cannot be used.
        """
        self._path = Path(path)
        self._clock = clock or SystemClock()
        self._stamp: _Stamp | None
        self._stamp, self._users = _read(self._path)
        self._next_check_s = self._clock.monotonic() + CHECK_INTERVAL_S
        self._turn = asyncio.Lock()

    def __len__(self) -> int:
        """How many users it has."""
        return len(self._users)

    async def get(self, user_id: str) -> Credentials:
        """The credentials of a user.

        Raises:
            UnknownUser: the file has none for this user.
        """
        if self._check_is_due():
            async with self._turn:  # nobody is served what was last looked at long ago
                if self._check_is_due():
                    await self._refresh()
        try:
            return self._users[user_id]
        except KeyError:
            remedy = "add a table [users.<id>] with api_key, secret_key and passphrase"
            raise UnknownUser(user_id, source=f"file {self._path}", remedy=remedy) from None

    def invalidate(self, _user_id: str) -> None:
        """Makes the next `get` look at the file."""
        self._next_check_s = self._clock.monotonic()

    def _check_is_due(self) -> bool:
        return self._clock.monotonic() >= self._next_check_s

    async def _refresh(self) -> None:
        """Reads the file again if it is another one than before."""
        try:
            stamp = _stat(self._path)
            if stamp != self._stamp:
                await self._reload(stamp)
        finally:
            self._next_check_s = self._clock.monotonic() + CHECK_INTERVAL_S

    async def _reload(self, stamp: _Stamp | None) -> None:
        """Takes the file over, or logs why it cannot be used."""
        try:
            # Thousands of users take the parser a while: not in the event loop.
            self._stamp, self._users = await asyncio.to_thread(_read, self._path)
        except CredentialsError as error:
            self._stamp = stamp  # reported once, not at every look
            log.error("%s; the credentials read before stay in force", error)  # noqa: TRY400 - it says it all in one line


def _stat(path: Path) -> _Stamp | None:
    """What changes when the file does; None if there is none."""
    try:
        return _stamp_of(path.stat())
    except OSError:
        return None


def _stamp_of(status: os.stat_result) -> _Stamp:
    # The time of the inode's change is in it because a chmod, which may be the cure, leaves the modification time.
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> tuple[_Stamp, dict[str, Credentials]]:
    """Reads, checks and parses the file."""
    status, content = read_private(path, "credentials file")
    return _stamp_of(status), _parse(content, f"credentials file {path}")


def _parse(content: bytes, source: str) -> dict[str, Credentials]:
    """The users of a file, by user ID."""
    problem = ""
    try:
        users = tomllib.loads(content.decode()).get("users")
    except tomllib.TOMLDecodeError as exc:
        # Of the parser's message only the place is taken over: the rest may quote the file.
        problem = "is not valid TOML" + "".join(str(exc).partition(" (at ")[1:])
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    if problem:
        # Raised out here because the parser's errors hold the content.
        raise CredentialsError(f"{source} {problem}; what it must hold: [users.<id>] tables")
    if not isinstance(users, dict) or not users:
        # None at all is more likely a file caught while being written than a worker without users.
        raise CredentialsError(f"{source} has no [users.<id>] table; add one for each user")
    return {user_id: _user(user_id, table, source) for user_id, table in users.items()}


def _user(user_id: str, table: object, source: str) -> Credentials:
    """The credentials of one table."""
    where = f"{source}, user {user_id[:80]!r}"
    if not isinstance(table, dict):
        raise CredentialsError(f"{where}: must be a table [users.<id>] with {', '.join(SECRET_FIELDS)}")
    return read_credentials(user_id, table, where)

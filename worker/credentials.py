"""Who a user is at the exchange: API keys, and where they come from.

Secrets are shown by nobody but `Secret.reveal`. They are read by the worker at the moment of sending and are in no job,
no result and no log line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from worker.clock import Clock, SystemClock
from worker.errors import CredentialsError, UnknownUser

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
"""How often a file is looked at: a key that was replaced is used within this, and a stat costs nothing this seldom."""

HIDDEN = "<secret>"

_SECRET_FIELDS = ("api_key", "secret_key", "passphrase")

_Stamp = tuple[int, int, int, int]


class Secret:
    """A text that shows itself only when asked by name. It is not a `str`, so no formatting takes it for one."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, format_spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can be neither pickled nor copied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What signs a user's requests. Two are equal if nothing in them has changed.

    Attributes:
        user_id: the user ID at the exchange.
        api_key: sent in clear in ACCESS-KEY.
        secret_key: signs; never sent.
        passphrase: chosen when the key was made; sent in ACCESS-PASSPHRASE.
        demo: whether the key belongs to demo trading.
    """

    user_id: str
    api_key: Secret
    secret_key: Secret
    passphrase: Secret
    demo: bool = False


class CredentialStore(Protocol):
    """A source of credentials."""

    async def get(self, user_id: str) -> Credentials:
        """The credentials of a user, as they are now.

        Raises:
            UnknownUser: the source has none for this user.
        """
        ...


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
            logger.error("%s; the credentials read before stay in force", error)  # noqa: TRY400 - it says it all in one line


def open_store(spec: str, clock: Clock | None = None) -> CredentialStore:
    """The source of credentials that a setting names.

    Args:
        spec: "file:PATH".
        clock: handed to the source.

    Raises:
        CredentialsError: there is no such kind of source, or it cannot be used.
    """
    scheme, colon, rest = spec.partition(":")
    if not colon or not rest:
        # Not shown: what somebody put here by mistake may be a key.
        raise CredentialsError("the source of credentials must be written as file:PATH")
    if scheme != "file":
        raise CredentialsError(f"unknown source of credentials {scheme[:80]!r}; it must be written as file:PATH")
    return FileCredentials(Path(rest).expanduser(), clock)


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
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except OSError as exc:
        raise CredentialsError(f"credentials file {path} cannot be read: {exc.strerror}") from exc
    if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise CredentialsError(f"credentials file {path} is open to other users; run: chmod 600 {path}")
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
    return {user_id: _credentials(user_id, table, source) for user_id, table in users.items()}


def _credentials(user_id: str, table: object, source: str) -> Credentials:
    """The credentials of one table."""
    where = f"{source}, user {user_id[:80]!r}"
    if not isinstance(table, dict):
        raise CredentialsError(f"{where}: must be a table [users.<id>] with {', '.join(_SECRET_FIELDS)}")
    api_key, secret_key, passphrase = (_secret(table, field, where) for field in _SECRET_FIELDS)
    demo = table.get("demo", False)
    if not isinstance(demo, bool):
        raise CredentialsError(f"{where}: demo must be true or false, without quotes")
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase, demo=demo)


def _secret(table: Mapping[str, Any], field: str, where: str) -> Secret:
    """A field that can stand in a header: anything else could add headers of its own."""
    text = table.get(field)
    if not isinstance(text, str) or not text:
        raise CredentialsError(f"{where}: {field} is missing or empty; give it as a string")
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise CredentialsError(f"{where}: {field} must be printable ASCII without spaces around it")
    return Secret(text)

"""Source of credentials for one machine: a TOML file."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from pathlib import Path
from typing import Self

from producers.transport.cancellation import cancel_and_wait
from worker.clock import Clock, SystemClock
from worker.credentials.credentials_file import Fault, FileContent, parse_file
from worker.credentials.model import Credentials
from worker.credentials.private_file import read_private
from worker.errors import CredentialsError, UnknownUser, UnusableCredentials
from worker.logs import Event, log_fields

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
"""Time between checks for changes, each a `stat`."""

CHECK_WAIT_S = 0.1
"""How long the call that starts a check waits for it. A file with few users is read in this time, so its new keys are
used at once; while a larger one is read, the earlier keys stay in use."""

REST_PER_READ = 4
"""After a file was read, at least this many times as long passes before the next check, so that a large file that
changes all the time takes a fifth of the time."""

SLICE_S = 0.002
"""Parsing pauses after this time, so that it holds up the event loop's thread for no longer. Python's own switch
interval of 5 ms would apply to every turn of the loop."""

MAX_FAULTS_LOGGED = 20
"""Lines for the faults of one reading."""

_UNUSABLE = log_fields(Event.CREDENTIALS_UNUSABLE)

_Stamp = tuple[int, int, int, int]


class FileCredentials:
    """Credentials in a TOML file that only its owner can read.

        [users.1001]
        api_key = "..."
        secret_key = "..."
        passphrase = "..."
        demo = false

    A changed file is read again in the background, while the earlier content stays in use. A user whose table is bad
    has no credentials until it is mended; if no table can be used, the earlier content stays in use. Replace the file
    by a rename, because a file that is written in place may be read when it is half-written.
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
        self._source = f"credentials file {self._path}"
        self._clock = clock or SystemClock()
        status, content = read_private(self._path, "credentials file")
        self._stamp: _Stamp | None = _stamp(status)
        self._content = parse_file(content, self._source, FileContent(), lambda: None)
        self._error = ""
        self._next_check_s = self._clock.monotonic() + CHECK_INTERVAL_S
        self._invalidated: set[str] = set()
        self._check: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._log_new_faults(FileContent())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._check is not None:
            await cancel_and_wait(self._check)
        self._next_check_s = math.inf

    def __len__(self) -> int:
        """Return the number of users with credentials."""
        return len(self._content.users)

    @property
    def faults(self) -> list[Fault]:
        """The tables that cannot be used."""
        return self._content.all_faults()

    async def get(self, user_id: str) -> Credentials:
        """Return the credentials of a user.

        Raises:
            UnknownUser: the file has none for this user.
            UnusableCredentials: the user's table cannot be used, or may be hidden by one that cannot.
        """
        if user_id in self._invalidated or user_id not in self._content.users:
            self._invalidated.discard(user_id)
            if self._check is not None:
                await asyncio.shield(self._check)  # it may have read the file before this call
            await asyncio.shield(self._start_check())
        elif self._clock.monotonic() >= self._next_check_s and self._check is None:
            await asyncio.wait({self._start_check()}, timeout=CHECK_WAIT_S)
        credentials = self._content.users.get(user_id)
        if credentials is None:
            raise self._missing(user_id)
        return credentials

    def invalidate(self, user_id: str) -> None:
        """Make the next `get` of this user check the file first."""
        self._invalidated.add(user_id)

    def source_ok(self) -> bool:
        """Return whether the file could be used when it was last looked at, and look again if it is time to.

        If not, the earlier content is in use, and a worker that starts now ends with an error.
        """
        if self._clock.monotonic() >= self._next_check_s:
            self._start_check()
        return not self._error

    def _missing(self, user_id: str) -> UnusableCredentials | UnknownUser:
        content = self._content
        if fault := content.faults.get(user_id):
            return UnusableCredentials(fault.message)
        if content.hiding or user_id in content.lost:
            first = content.hiding or content.all_faults()[0]
            return UnusableCredentials(f"user {user_id[:80]!r} may be in a part that cannot be read: {first.message}")
        if self._error:
            return UnusableCredentials(f"user {user_id[:80]!r} may be in the changed file: {self._error}")
        remedy = "add a table [users.<id>] with api_key, secret_key and passphrase"
        # Results have this message: their readers learn no path of this machine.
        return UnknownUser(user_id, source="the worker's credentials file (COPYTRADE_CREDENTIALS)", remedy=remedy)

    def _start_check(self) -> asyncio.Task[None]:
        """Return the running check of the file, or start one."""
        if self._check is None:
            self._check = asyncio.create_task(self._read_if_changed(), name="copytrade credentials file")
            self._check.add_done_callback(self._on_checked)
        return self._check

    def _on_checked(self, _check: asyncio.Task[None]) -> None:
        self._check = None

    async def _read_if_changed(self) -> None:
        """Read the file again if it has changed; if it cannot be used, log why and keep the earlier content."""
        began_s = self._clock.monotonic()
        try:
            if await asyncio.to_thread(_stat, self._path) != self._stamp:
                self._stamp = None  # until it was read: the same file may be back
                status, content = await asyncio.to_thread(read_private, self._path, "credentials file")
                self._stamp = _stamp(status)
                earlier = self._content
                self._content = await asyncio.to_thread(parse_file, content, self._source, earlier, _Pauses())
                self._error = ""
                self._log_new_faults(earlier)
        except CredentialsError as exc:
            self._log_error(str(exc))
        finally:
            now_s = self._clock.monotonic()
            self._next_check_s = now_s + max(CHECK_INTERVAL_S, REST_PER_READ * (now_s - began_s))

    def _log_new_faults(self, earlier: FileContent) -> None:
        known = {fault.digest for fault in earlier.all_faults()}
        new = [fault for fault in self.faults if fault.digest not in known]
        for fault in new[:MAX_FAULTS_LOGGED]:
            log.error("%s; changes of this user wait", fault.message, extra=_UNUSABLE)
        if len(new) > MAX_FAULTS_LOGGED:
            log.error("%s: %d more tables cannot be used", self._source, len(new) - MAX_FAULTS_LOGGED, extra=_UNUSABLE)

    def _log_error(self, error: str) -> None:
        if error != self._error:
            log.error("%s; the credentials that were read before stay in use", error, extra=_UNUSABLE)
        self._error = error


class _Pauses:
    """Gives the event loop's thread the interpreter after each `SLICE_S`, for as long as was taken."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()

    def __call__(self) -> None:
        took_s = time.perf_counter() - self._began_s
        if took_s >= SLICE_S:
            time.sleep(took_s)
            self._began_s = time.perf_counter()


def _stat(path: Path) -> _Stamp | None:
    """Return a value that changes when the file does; None if there is no file."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(status: os.stat_result) -> _Stamp:
    # It includes ctime because a chmod, which can make the file usable, does not change mtime.
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

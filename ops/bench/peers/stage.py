"""What one measurement of one program runs on: a Valkey, the exchange double, a worker, and callers."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, change
from ops.bench.peers.contenders import JOBS_AT_ONCE, Contender
from ops.bench.peers.processes import stop_family
from ops.bench.redis_load import Load
from ops.children import child_group, temporary_folder
from ops.redis_server import embedded_valkey
from ops.stack import Stack, User, write_credentials
from producers.settings import PREFIX

READY_TIMEOUT_S = 60.0
CALLER_TIMEOUT_S = 120.0
LOOK_INTERVAL_S = 0.5
"""Pause between two looks at the double's report, which costs it some milliseconds."""


class IncompleteError(Exception):
    """A program did not do all of its jobs; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts.

    Attributes:
        contender: the program.
        stack: the double.
        redis: a client of the server.
        environ: the variables of the program's processes.
        log_path: of their standard error.
    """

    contender: Contender
    stack: Stack
    redis: Redis
    environ: dict[str, str]
    log_path: Path

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Process]:
        """Run a worker meanwhile; it takes jobs when this is entered, or soon after."""
        process = await self.start("work")
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            if await _first_line(process.stdout) != b"ready\n":
                raise IncompleteError(f"the worker did not start: {self.log_tail()}")
            yield process
        finally:
            await stop_family(process)

    async def run(self, verb: str, lines: Iterable[bytes] = ()) -> dict[str, Any]:
        """Run a command of the protocol to its end, and return what it printed.

        Raises:
            IncompleteError: it failed.
        """
        process = await self.start(verb)
        try:
            async with asyncio.timeout(CALLER_TIMEOUT_S):
                output, _ = await process.communicate(b"".join(line + b"\n" for line in lines))
            if process.returncode:
                raise IncompleteError(f"`{verb}` failed: {self.log_tail()}")
            printed: dict[str, Any] = msgspec.json.decode(output)
        except (TimeoutError, msgspec.DecodeError) as exc:
            raise IncompleteError(f"`{verb}` did not end well: {exc!r}; {self.log_tail()}") from exc
        finally:
            await stop_family(process)
        return printed

    async def start(self, verb: str) -> Process:
        """Start a command of the protocol, with pipes as its standard input and output."""
        with self.log_path.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.contender.command(verb),
                env=self.environ,
                stdin=DEVNULL if verb == "work" else PIPE,
                stdout=PIPE,
                stderr=log,
                process_group=child_group(),
            )

    async def load(self) -> Load:
        """Return what the server has done so far."""
        return Load.from_info(await self.redis.info("all"))

    async def wait_for_arrivals(self, count: int, timeout_s: float) -> None:
        """Return when so many requests have arrived.

        Raises:
            IncompleteError: not within the time.
        """
        arrived = 0
        try:
            async with asyncio.timeout(timeout_s):
                while (arrived := await self.count_arrivals()) < count:  # noqa: ASYNC110 - polls another process
                    await asyncio.sleep(LOOK_INTERVAL_S)
        except TimeoutError:
            raise IncompleteError(f"{arrived} of {count} arrived in {timeout_s:g} s: {self.log_tail()}") from None

    async def count_arrivals(self) -> int:
        """Return how many requests of users have arrived; this project's worker asks the double for its time, too."""
        users: dict[str, dict[str, int]] = (await self.stack.report())["users"]
        return sum(report["arrivals"] for user, report in users.items() if user)

    async def arrivals_ns(self) -> dict[str, list[int]]:
        """Return the times of arrival of each user's requests, monotonic clock."""
        times: dict[str, list[int]] = {}
        for arrival in await self.stack.arrivals():
            if arrival["user"]:
                times.setdefault(arrival["user"], []).append(arrival["at_ns"])
        return times

    def log_tail(self, characters: int = 400) -> str:
        """Return the end of what the program's processes wrote to standard error."""
        return " ".join(self.log_path.read_text(errors="replace")[-characters:].split()) or "it wrote no error"


async def _first_line(output: asyncio.StreamReader) -> bytes:
    """Return the first line of a process, or nothing if none comes in time."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await output.readline()
    except TimeoutError:
        return b""


@asynccontextmanager
async def stage(
    contender: Contender,
    users: Sequence[str],
    *,
    double_options: tuple[str, ...] = DOUBLE_NO_RATE_LIMITS,
    rate_limits: Mapping[str, str] = NO_RATE_LIMITS,
    jobs_at_once: int = JOBS_AT_ONCE,
    recovery_s: int = 0,
) -> AsyncIterator[Stage]:
    """Set the parts up for one program, without a worker.

    Args:
        contender: the program.
        users: with credentials at the double.
        double_options: of `python -m ops.exchange`; no limits by default.
        rate_limits: the variables for those of this project's worker; no limits by default.
        jobs_at_once: the most of a peer's worker, unless its set-up has the peer's default.
        recovery_s: after how long the jobs of a peer's dead worker are another's; 0 for the peer's default.
    """
    with temporary_folder("peers-") as folder, embedded_valkey() as dsn:
        credentials = write_credentials(folder / "credentials.toml", [User(user) for user in users])
        async with Stack(dsn, credentials, credentials, double_options) as stack, Redis.from_url(dsn) as redis:
            environ = {
                **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
                **rate_limits,
                "COPYTRADE_LOG_LEVEL": "ERROR",
                "COPYTRADE_REDIS_DSN": dsn,
                "COPYTRADE_EXCHANGE_URL": stack.exchange_url,
                "COPYTRADE_CREDENTIALS": credentials,
                "PEERS_REDIS_URL": dsn,
                "PEERS_EXCHANGE_URL": stack.exchange_url,
                "PEERS_VARIANT": contender.variant,
                "PEERS_JOBS_AT_ONCE": str(jobs_at_once),
                "PEERS_RECOVERY_S": str(recovery_s),
            }
            yield Stage(contender, stack, redis, environ, folder / "log")


def change_line(user: str, value: int = 1) -> bytes:
    """Return a change as JSON."""
    return msgspec.json.encode(change(user, value))

"""Everything that the main job needs, as real processes: the exchange double and workers, beside a given Redis.

Whatever is started here is stopped here, also when the body fails.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

STARTED_WITHIN_S = 20.0
STOPPED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class User:
    """A user whose keys both the worker and the double know; each key follows from the ID unless said otherwise."""

    user_id: str
    demo: bool = False


def write_credentials(
    path: Path, users: Iterable[User], *, wrong: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Writes a credentials file that only its owner may read; returns what COPYTRADE_CREDENTIALS shall be.

    Args:
        path: where.
        users: who.
        wrong: for some user IDs, fields to write wrongly, such as `{"1001": {"passphrase": "no"}}`.
    """
    wrong = wrong or {}
    lines = []
    for user in users:
        fields = {
            "api_key": f"key-{user.user_id}",
            "secret_key": f"secret-{user.user_id}",
            "passphrase": f"pass-{user.user_id}",
        } | dict(wrong.get(user.user_id, {}))
        lines.append(f'[users."{user.user_id}"]')
        lines += [f'{name} = "{value}"' for name, value in fields.items()]
        lines.append(f"demo = {str(user.demo).lower()}")
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"file:{path}"


@dataclass(slots=True)
class Stack:
    """The double and the workers.

        async with Stack(redis_dsn, credentials, double_credentials) as stack:
            await stack.start_workers(4)

    Attributes:
        redis_dsn: where Redis is.
        credentials: what the workers use, `file:PATH`.
        known_credentials: what the double knows, `file:PATH`.
        double_options: further options of `python -m ops.exchange`.
        environ: further `COPYTRADE_*` variables of the workers.
        log_path: where the workers' log goes; None for nowhere.
        exchange_url: where the double is, once started.
        workers: the worker processes, once started.
    """

    redis_dsn: str
    credentials: str
    double_credentials: str
    double_options: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    log_path: Path | None = None
    exchange_url: str = ""
    workers: list[Process] = field(default_factory=list)
    _double: Process | None = None
    _http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        options = ("--credentials", self.double_credentials, *self.double_options)
        self._double = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ops.exchange", *options, stdout=PIPE, stderr=DEVNULL
        )
        assert self._double.stdout is not None  # noqa: S101 - it is a pipe
        async with asyncio.timeout(STARTED_WITHIN_S):
            line = await self._double.stdout.readline()
        if not line:
            raise RuntimeError(f"the exchange double did not start: python -m ops.exchange {' '.join(options)}")
        self.exchange_url = line.decode().split()[-1]
        self._http = aiohttp.ClientSession(self.exchange_url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(stop(worker) for worker in self.workers))
        if self._http is not None:
            await self._http.close()
        if self._double is not None:
            await stop(self._double)

    async def start_workers(self, count: int = 1, *options: str, **environ: str) -> list[Process]:
        """Starts worker processes; returns those that this call started.

        Args:
            count: how many.
            options: of `python -m worker`.
            environ: further environment variables.
        """
        variables = {
            **os.environ,
            "COPYTRADE_REDIS_DSN": self.redis_dsn,
            "COPYTRADE_EXCHANGE_URL": self.exchange_url,
            "COPYTRADE_CREDENTIALS": self.credentials,
            **self.environ,
            **environ,
        }
        with (self.log_path or Path(os.devnull)).open("ab") as output:
            started = [
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "worker", *options, env=variables, stdout=output, stderr=output
                )
                for _ in range(count)
            ]
        self.workers += started
        return started

    async def report(self) -> dict[str, Any]:
        """What the double saw, in figures."""
        async with self._session.get("/_double/report") as response:
            report: dict[str, Any] = await response.json()
            return report

    async def arrivals(self) -> list[dict[str, Any]]:
        """What the double saw, request by request."""
        async with self._session.get("/_double/arrivals") as response:
            lines = (await response.text()).splitlines()
        return [msgspec.json.decode(line) for line in lines]

    async def set_faults(self, *faults: Mapping[str, object]) -> None:
        """Replaces the double's faults."""
        async with self._session.post("/_double/faults", json=list(faults)) as response:
            response.raise_for_status()

    async def reset(self) -> None:
        """Empties the double's record."""
        async with self._session.post("/_double/reset") as response:
            response.raise_for_status()

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the stack is not running; use it within `async with`")
        return self._http


async def stop(process: Process) -> int:
    """Asks a process to stop, and ends it if it does not; returns its exit status."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOPPED_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()

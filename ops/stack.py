"""The exchange double and workers as real processes, beside a given Redis. They are stopped on exit and on errors."""

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

from ops.children import child_group

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class User:
    """A user; its API keys are derived from the ID."""

    user_id: str
    demo: bool = False


def write_credentials(
    path: Path, users: Iterable[User], *, wrong: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Write a credentials file that only its owner may read. Return the value for COPYTRADE_CREDENTIALS.

    Args:
        path: the file.
        users: the users.
        wrong: wrong values for fields of some users, such as `{"1001": {"passphrase": "no"}}`.
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
        redis_dsn: of the Redis to use.
        credentials: of the workers, `file:PATH`.
        double_credentials: of the double, `file:PATH`.
        double_options: further options of `python -m ops.exchange`.
        environ: further `COPYTRADE_*` variables of the workers.
        log_path: the file for the workers' logs; None discards them.
        exchange_url: of the double, once started.
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
            sys.executable,
            "-m",
            "ops.exchange",
            *options,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            process_group=child_group(),
        )
        assert self._double.stdout is not None  # noqa: S101 - it is a pipe
        async with asyncio.timeout(START_TIMEOUT_S):
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

    async def start_workers(
        self, count: int = 1, *options: str, module: str = "worker", **environ: str
    ) -> list[Process]:
        """Start worker processes, and return them.

        Args:
            count: number of processes.
            options: of `python -m worker`.
            module: run instead of `worker`.
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
                    sys.executable,
                    "-m",
                    module,
                    *options,
                    env=variables,
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=child_group(),
                )
                for _ in range(count)
            ]
        self.workers += started
        return started

    async def report(self) -> dict[str, Any]:
        """Return the double's report."""
        report: dict[str, Any] = msgspec.json.decode(await self._request("GET", "report"))
        return report

    async def arrivals(self) -> list[dict[str, Any]]:
        """Return the arrivals that the double recorded."""
        return [msgspec.json.decode(line) for line in (await self._request("GET", "arrivals")).splitlines()]

    async def set_faults(self, *faults: Mapping[str, object]) -> None:
        """Replace the double's faults."""
        await self._request("POST", "faults", msgspec.json.encode(faults))

    async def reset(self) -> None:
        """Clear the double's record of arrivals."""
        await self._request("POST", "reset")

    async def _request(self, method: str, control: str, body: bytes = b"") -> bytes:
        if self._http is None:
            raise RuntimeError("the stack is not running; use it within `async with`")
        async with self._http.request(method, f"/_double/{control}", data=body) as response:
            response.raise_for_status()
            return await response.read()


def cancel_on_sigterm() -> None:
    """Make SIGTERM cancel the current task, as Ctrl-C does, so that it can stop what it started."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def stop(process: Process) -> int:
    """Stop a process with SIGTERM, then SIGKILL. Return its exit status."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()

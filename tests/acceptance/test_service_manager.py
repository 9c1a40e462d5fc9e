"""Programs under a service manager (systemd's Type=notify): when they are ready, alive, and stopping."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import Valkey
from ops.serving import serving
from ops.stack import Stack
from tests.acceptance.conftest import WITHIN_S
from tests.support.service_manager import Notifications, notifications

READY, STOPPING, WATCHDOG = "READY=1", "STOPPING=1", "WATCHDOG=1"
WATCHED = {"WATCHDOG_USEC": "2000000"}


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Notifications]:
    """The socket that programs report to."""
    async with notifications(tmp_path) as listening:
        yield listening


@pytest.fixture
def late_server(tmp_path: Path) -> Iterator[Valkey]:
    """A server that is not there yet; the test starts it. It is stopped after the workers."""
    server = Valkey(tmp_path / "late")
    yield server
    server.kill()


async def sessions(valkey: ArqRedis) -> int:
    """Return how many workers have a session. The table has one further row, the clock."""
    rows: int = await valkey.hlen(KEYS.sessions)  # type: ignore[misc]
    return rows - 1


def log_of(path: Path) -> str:
    """Return what has been logged."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


async def until_logged(path: Path, text: str, *, times: int = 1) -> None:
    """Wait until workers have logged a text."""
    async with asyncio.timeout(WITHIN_S):
        while log_of(path).count(text) < times:  # noqa: ASYNC110 - only the log tells
            await asyncio.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """Return the IDs of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_worker_is_ready_when_it_has_its_session(
    stack: Stack, valkey: ArqRedis, manager: Notifications
) -> None:
    """It then gives signs of life, and reports that it stops."""
    (worker,) = await stack.start_workers(1, **manager.environ, **WATCHED)

    await manager.until(READY)
    ready = await sessions(valkey)
    await manager.until(WATCHDOG)
    worker.send_signal(signal.SIGTERM)
    await manager.until(STOPPING)

    assert await worker.wait() == 0
    assert ready == 1


async def test_a_worker_is_not_ready_before_redis_is_there(
    late_server: Valkey, stack: Stack, log_path: Path, manager: Notifications
) -> None:
    """Its event loop runs, so it is alive."""
    await stack.start_workers(1, **manager.environ, **WATCHED, COPYTRADE_REDIS_DSN=late_server.dsn)
    await until_logged(log_path, "Redis")

    before = await manager.until(WATCHDOG)
    await asyncio.to_thread(late_server.start)
    await manager.until(READY)

    assert READY not in before


async def test_several_workers_report_as_one_and_one_that_hangs_is_restarted_without_the_others(
    stack: Stack, valkey: ArqRedis, log_path: Path, manager: Notifications
) -> None:
    """Their parent reports for them, and kills a process whose event loop stands still."""
    (parent,) = await stack.start_workers(1, "--processes", "2", **manager.environ, **WATCHED)
    await manager.until(READY)
    ready = await sessions(valkey)
    hung, other = children_of(parent.pid)

    os.kill(hung, signal.SIGSTOP)
    await until_logged(log_path, "dispatching lanes", times=3)
    now = children_of(parent.pid)
    parent.send_signal(signal.SIGTERM)
    await manager.until(STOPPING)

    assert await parent.wait() == 0
    assert ready == 2
    assert f"the worker process {hung} hangs" in log_of(log_path)
    assert other in now
    assert hung not in now


async def test_the_gateway_is_ready_when_it_serves(
    valkey_dsn: str, manager: Notifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It then gives signs of life, and reports that it stops."""
    for name, value in {**manager.environ, **WATCHED}.items():
        monkeypatch.setenv(name, value)
    async with serving(valkey_dsn, "--no-auth") as served:
        await manager.until(READY)
        async with aiohttp.ClientSession() as http, http.get(f"{served.url}/livez") as answer:
            status = answer.status
        await manager.until(WATCHDOG)
        served.process.send_signal(signal.SIGTERM)
        await manager.until(STOPPING)

    assert status == 200

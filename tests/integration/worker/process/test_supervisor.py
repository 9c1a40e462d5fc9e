"""Worker processes that hang: their parent kills them, when they start and when they are to stop."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from producers.service_manager import ServiceManager
from worker.process import child_watch, supervisor
from worker.process.supervisor import supervise

WITHIN_S = 60.0

HANGS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[-1], "a") as started:
    started.write(f"{os.getpid()}\\n")
while True:
    time.sleep(3600)
"""
"""A process that gives no sign of life, and does not stop. It writes its ID to the file of its last argument."""


@pytest.fixture(autouse=True)
def _hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "COMMAND", (sys.executable, "-c", HANGS))
    monkeypatch.setattr(supervisor, "RESTART_DELAY_S", 0.01)


def pids_in(path: Path) -> list[int]:
    """Return the IDs of the processes that have started."""
    return [int(pid) for pid in path.read_text("utf-8").splitlines()] if path.exists() else []


async def started(path: Path, count: int) -> list[int]:
    """Wait until so many processes have started; return their IDs."""
    while len(pids := pids_in(path)) < count:  # noqa: ASYNC110 - only the file tells
        await asyncio.sleep(0.01)
    return pids


async def test_a_process_that_does_not_stop_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its parent ends then, and says so by its status."""
    file, stopping = tmp_path / "started", asyncio.Event()
    async with asyncio.timeout(WITHIN_S):
        running = asyncio.create_task(
            supervise([str(file)], stopping, ServiceManager(), lambda: None, restart=True, stop_within_s=0.1)
        )
        (pid,) = await started(file, 1)
        stopping.set()
        status = await running

    assert status == 128 + 9
    assert caplog.messages == [f"the worker process {pid} hangs: it has not stopped within 0.1 s; killing it"]


async def test_a_process_that_hangs_before_its_first_sign_of_life_is_restarted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time counts from its start."""
    monkeypatch.setattr(child_watch, "START_S", 1.0)
    file, stopping = tmp_path / "started", asyncio.Event()
    manager = ServiceManager(str(tmp_path / "nobody"), watchdog_s=0.5)
    async with asyncio.timeout(WITHIN_S):
        running = asyncio.create_task(
            supervise([str(file)], stopping, manager, lambda: None, restart=True, stop_within_s=0.1)
        )
        first, _ = (await started(file, 2))[:2]
        stopping.set()
        await running

    assert f"the worker process {first} hangs: its event loop was silent for 1 s; killing it" in caplog.messages

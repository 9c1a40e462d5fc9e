"""What is left of a launcher (demo, tests, benchmarks) that ends in any way: no process, no temporary folder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ops.children import child_group
from tests.support.programs import ROOT
from tests.support.workers import WITHIN_S

LAUNCHER = """
import asyncio, subprocess, sys
from pathlib import Path
from ops.children import child_group, temporary_folder
from ops.redis_server import embedded_valkey
from ops.stack import Stack, User, write_credentials

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

async def main():
    with temporary_folder("launcher-") as folder, embedded_valkey() as dsn:
        keys = write_credentials(folder / "keys.toml", [User("1001")])
        async with Stack(dsn, keys, keys, log_path=Path("/dev/stdout")) as stack:
            subprocess.Popen([sys.executable, "-c", STUBBORN], process_group=child_group())
            await stack.start_workers(2)
            print(dsn, stack.exchange_url, flush=True)
            await asyncio.sleep(600)

asyncio.run(main())
"""
"""Starts one of everything. Workers and the stubborn child hold its standard output, the guard its standard error."""


@asynccontextmanager
async def launched(folder: Path, *arguments: str) -> AsyncIterator[Process]:
    """Run `python` with a folder for temporary ones."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        process_group=child_group(),
    )
    try:
        async with asyncio.timeout(2 * WITHIN_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def read_to_end(reader: asyncio.StreamReader | None) -> None:
    """Return when nobody holds the other end any more."""
    assert reader is not None
    with suppress(ConnectionError):
        while await reader.read(65_536):
            pass


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """Return what is in a folder."""
    return list(folder.glob(pattern))


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda by: by.name)
async def test_a_launcher_leaves_neither_processes_nor_folders(tmp_path: Path, by: signal.Signals) -> None:
    """Servers, workers and the exchange double end with it, and so does a child that ignores SIGTERM."""
    async with launched(tmp_path, "-c", LAUNCHER) as launcher:
        assert launcher.stdout is not None
        while not (line := await launcher.stdout.readline()).startswith(b"redis://"):
            assert line
        ports = [int(url.rpartition(":")[2].partition("/")[0]) for url in line.decode().split()]
        connections = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
        launcher.send_signal(by)

        for reader in (*(reader for reader, _ in connections), launcher.stdout, launcher.stderr):
            await read_to_end(reader)

    for _, writer in connections:
        writer.close()
    assert entries(tmp_path) == []


async def connect_to_server(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the embedded server of another process, as soon as it listens."""
    while True:
        with suppress(ValueError, IndexError, OSError):
            (configuration,) = entries(folder, "valkey-*/valkey.conf")
            port = configuration.read_text(encoding="utf-8").partition("port ")[2].split()[0]
            return await asyncio.open_connection("127.0.0.1", int(port))
        await asyncio.sleep(0.01)  # polls another process


async def test_the_demo_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """Its server has a folder of its own, whose configuration tells the port."""
    async with launched(tmp_path, "-m", "ops.demo") as demo:
        server, writer = await connect_to_server(tmp_path)
        demo.kill()

        for reader in (server, demo.stdout, demo.stderr):
            await read_to_end(reader)

    writer.close()
    assert entries(tmp_path) == []

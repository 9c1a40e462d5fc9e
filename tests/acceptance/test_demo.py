"""The demo as a user runs it, in a small size."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from httpx import AsyncClient

from ops.children import child_group
from ops.stack import stop

TOP = Path(__file__).parents[2]
PATIENCE_S = 120


@asynccontextmanager
async def running_demo(*options: str) -> AsyncIterator[Process]:
    """Run the demo meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.demo", *options, stdout=PIPE, stderr=PIPE, cwd=TOP, process_group=child_group()
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield process
    finally:
        await stop(process)


async def lines_until(stream: asyncio.StreamReader, text: bytes) -> list[bytes]:
    """Return the lines up to the one with a text."""
    lines: list[bytes] = []
    while not lines or text not in lines[-1]:
        lines.append(await stream.readline())
        assert lines[-1], b"".join(lines)
    return lines


async def test_every_invariant_holds_on_real_parts_and_the_console_shows_them() -> None:
    """Valkey, the exchange double and two workers: limits, order, results and settings, through faults.

    With --stay all of it goes on running until Ctrl-C, with the same exit status.
    """
    async with (
        running_demo("--followers", "40", "--lane", "20", "--json", "--stay") as process,
        AsyncClient() as client,
    ):
        assert process.stderr is not None
        address = (await lines_until(process.stderr, b"http://"))[-1].decode().strip()
        first = await client.get(address)
        told = b"".join(await lines_until(process.stderr, b"http://"))
        batch = await client.get(f"{address}batch", params={"id": "demo"})
        process.send_signal(signal.SIGINT)
        written, _ = await process.communicate()
    assert "<h1>Overview</h1>" in first.text
    assert "45 of 45" in batch.text
    status = process.returncode
    seen = msgspec.json.decode(written)
    broken = [check for check in seen["checks"] if not check["holds"]]
    assert broken == []
    assert (status, seen["holds"]) == (0, True)
    names = [check["name"] for check in seen["checks"]]
    assert names == ["paced", "ordered", "one result each", "as expected", "kept", "tested"]
    figures = seen["figures"]
    assert figures["outcomes"] == {"applied": 63, "unauthorized": 4, "rejected": 1}
    assert 0 < figures["peak_in_1s"] <= 10
    assert {retried["verdict"] for retried in figures["retried"]} >= {"transient", "ambiguous", "failed", "throttled"}
    assert b"All 6 invariants held" in told


async def test_a_demo_that_is_too_small_is_rejected_by_its_option() -> None:
    """Exit status 2, and a line that names the option and its minimum of 20."""
    async with running_demo("--followers", "0") as process:
        written, told = await process.communicate()
    assert (process.returncode, written) == (2, b"")
    assert b"--followers must be 20 or more; got 0" in told

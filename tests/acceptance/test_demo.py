"""The demo as a user runs it, in a small size."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec

from ops.children import child_group
from ops.stack import stop

TOP = Path(__file__).parents[2]
PATIENCE_S = 120


async def demo(*options: str) -> tuple[int | None, bytes, bytes]:
    """Run the demo; return its exit status, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.demo", *options, stdout=PIPE, stderr=PIPE, cwd=TOP, process_group=child_group()
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            written, told = await process.communicate()
    finally:
        await stop(process)
    return process.returncode, written, told


async def test_every_invariant_holds_on_real_parts() -> None:
    """Valkey, the exchange double and two workers: limits, order, results and settings, through faults."""
    status, written, told = await demo("--followers", "40", "--lane", "20", "--json")
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
    status, written, told = await demo("--followers", "0")
    assert (status, written) == (2, b"")
    assert b"--followers must be 20 or more; got 0" in told

"""Programs that run in a process of their own, as another app would."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from ops.children import child_group
from tests.support.workers import WITHIN_S

ROOT = Path(__file__).parents[2]


async def run_program(path: Path, *arguments: str) -> str:
    """Run a Python program; return what it printed.

    Raises:
        AssertionError: it exited with an error; the message is its standard error.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(path),
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env={"PYTHONPATH": str(ROOT)},
        process_group=child_group(),
    )
    try:
        async with asyncio.timeout(2 * WITHIN_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output.decode()

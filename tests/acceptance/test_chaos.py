"""A chaos run as a developer starts it, in the shortest useful size."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest

from ops.chaos.schedule import CLUSTER_KINDS, KINDS, Kind
from ops.children import child_group
from ops.stack import stop

TOP = Path(__file__).parents[2]
PATIENCE_S = 240


async def chaos(*options: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "ops.chaos", *options)
    return await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, cwd=TOP, process_group=child_group()
    )


def running() -> set[int]:
    return {int(path.name) for path in Path("/proc").glob("[0-9]*")}


def children_of(parent: int) -> set[int]:
    """Return the processes that a process started and that still run."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = status.read_text().partition(" (")
        except OSError:  # it has ended meanwhile
            continue
        state, its_parent = rest.rpartition(") ")[2].split()[:2]
        if int(its_parent) == parent and state != "Z":
            found.add(int(number))
    return found


@pytest.mark.parametrize(
    ("options", "kinds"), [(("--seed", "4"), KINDS), (("--seed", "4", "--cluster"), CLUSTER_KINDS)]
)
async def test_no_change_is_lost_whatever_dies(options: tuple[str, ...], kinds: dict[str, Kind]) -> None:
    """Every kind of event occurs at least once; four ledgers agree in the end."""
    run = await chaos("--seconds", "8", *options, "--json")
    try:
        async with asyncio.timeout(PATIENCE_S):
            written, errors = await run.communicate()
    finally:
        await stop(run)
    assert written, errors.decode()
    seen = msgspec.json.decode(written)

    broken = {promise: violations for promise, violations in seen["verdicts"].items() if violations}
    assert broken == {}
    assert set(seen["events"]) == set(kinds), errors.decode()
    assert (run.returncode, seen["holds"], seen["violations"]) == (0, True, 0)


async def test_an_interrupted_run_stops_every_process_that_it_started() -> None:
    """Also stopped ones."""
    run = await chaos("--seconds", "60", "--seed", "1")
    assert run.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for line in run.stderr:
                if b"stall worker" in line:
                    break
            started = children_of(run.pid)
            run.send_signal(signal.SIGINT)
            await run.communicate()
    finally:
        await stop(run)

    assert run.returncode == 130
    assert len(started) >= 5
    assert not started & running()


async def test_a_run_that_is_too_short_is_rejected() -> None:
    """Exit status 2, and one line that names the bounds: 8 to 3600 seconds."""
    run = await chaos("--seconds", "1")
    written, errors = await run.communicate()

    assert (run.returncode, written) == (2, b"")
    assert b"--seconds must be from 8 to 3600; got 1" in errors

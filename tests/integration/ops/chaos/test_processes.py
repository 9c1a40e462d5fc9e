"""Processes that are killed, stalled and started again; and results in Redis's append-only file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ops.chaos.processes import ManagedProcess, environment_with
from ops.chaos.valkey import RESULT_WRITTEN

WITHIN_S = 30.0
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"


async def started(tmp_path: Path, code: str, *, may_end: bool = False) -> ManagedProcess:
    """Start a program."""
    made = ManagedProcess("a process", ("-c", code), environment_with(), tmp_path / "log", may_end=may_end)
    await made.start()
    return made


async def until_up(made: ManagedProcess, times: int) -> None:
    """Wait until so many processes in a row have started."""
    async with asyncio.timeout(WITHIN_S):
        while made.log.read_text().count("up") < times:  # noqa: ASYNC110 - looks at another process
            await asyncio.sleep(0.01)


async def test_a_process_that_was_killed_or_stopped_is_replaced(tmp_path: Path) -> None:
    """It does not count as ended by itself."""
    made = await started(tmp_path, SLEEPS)
    await until_up(made, 1)
    await made.replace(kill=True)
    await until_up(made, 2)
    await made.replace(kill=False)
    await until_up(made, 3)
    await made.stop()

    assert (made.starts, made.exits, made.has_ended) == (3, [], True)


async def test_a_process_that_ends_by_itself_is_recorded(tmp_path: Path) -> None:
    """With its exit status."""
    made = await started(tmp_path, "raise SystemExit(3)")
    async with asyncio.timeout(WITHIN_S):
        await made.wait()
    await made.stop()

    assert made.exits == [3]


async def test_a_process_that_may_end_must_end_with_status_0(tmp_path: Path) -> None:
    """As a producer that has finished."""
    done, failed = (
        await started(tmp_path, "", may_end=True),
        await started(tmp_path, "raise SystemExit(1)", may_end=True),
    )
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(done.wait(), failed.wait())
    await asyncio.gather(done.stop(), failed.stop())

    assert (done.exits, failed.exits) == ([], [1])


async def test_a_stalled_process_can_be_stopped(tmp_path: Path) -> None:
    """Its start and end are recorded; a stop does not wait for the end of the stall."""
    made = await started(tmp_path, SLEEPS)
    await until_up(made, 1)
    await made.stall(0.05)
    ((began_ns, ended_ns),) = made.stalls
    stalling = asyncio.create_task(made.stall(600))
    await asyncio.sleep(0)
    await made.stop()
    stalling.cancel()
    await asyncio.gather(stalling, return_exceptions=True)

    assert ended_ns - began_ns >= 50_000_000
    assert made.has_ended


def test_no_variable_of_this_project_is_inherited() -> None:
    """The machine's own settings would change the run."""
    found = environment_with(COPYTRADE_SESSION_TTL_S="4")

    ours = {name: value for name, value in found.items() if name.startswith("COPYTRADE_")}
    assert ours == {"COPYTRADE_SESSION_TTL_S": "4"}
    assert "PATH" in found


def test_every_write_of_a_result_is_found_in_the_append_only_file() -> None:
    """Once each, whatever is between; other keys and deletions are not counted."""
    written = b"*5\r\n$3\r\nSET\r\n$14\r\narq:result:a.1\r\n$2\r\n{}\r\n$4\r\nPXAT\r\n$1\r\n9\r\n"
    others = b"*3\r\n$3\r\nSET\r\n$11\r\narq:job:a.1\r\n$1\r\nx\r\n*2\r\n$3\r\nDEL\r\n$14\r\narq:result:a.1\r\n"
    history = b"*1\r\n$5\r\nMULTI\r\n" + written + others + written.replace(b"a.1", b"b.2") + written

    assert RESULT_WRITTEN.findall(history) == [b"a.1", b"b.2", b"a.1"]

"""Places where processes run, die and are started again; and the history that Redis leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ops.chaos.collect import RESULT_WRITTEN
from ops.chaos.processes import ManagedProcess, environment

WITHIN_S = 30.0
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"


async def place(tmp_path: Path, code: str, *, ends: bool = False) -> ManagedProcess:
    """A place where a program runs that is up."""
    made = ManagedProcess("a place", ("-c", code), environment(), tmp_path / "log", ends=ends)
    await made.start()
    return made


async def until_up(made: ManagedProcess, times: int) -> None:
    """Returns when so many processes in a row have come up."""
    async with asyncio.timeout(WITHIN_S):
        while made.log.read_text().count("up") < times:  # noqa: ASYNC110 - looks at another process
            await asyncio.sleep(0.01)


async def test_who_is_killed_or_stopped_is_followed_by_another(tmp_path: Path) -> None:
    """And is not taken for one that ended by itself."""
    made = await place(tmp_path, SLEEPS)
    await until_up(made, 1)
    await made.kill()
    await until_up(made, 2)
    await made.restart()
    await until_up(made, 3)
    await made.stop()

    assert (made.starts, made.lost, made.has_ended) == (3, [], True)


async def test_who_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    """With its exit status."""
    made = await place(tmp_path, "raise SystemExit(3)")
    async with asyncio.timeout(WITHIN_S):
        await made.ended()
    await made.stop()

    assert made.lost == [3]


async def test_who_may_end_must_end_well(tmp_path: Path) -> None:
    """A producer that is done ends with status 0."""
    done, failed = await place(tmp_path, "", ends=True), await place(tmp_path, "raise SystemExit(1)", ends=True)
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(done.ended(), failed.ended())
    await asyncio.gather(done.stop(), failed.stop())

    assert (done.lost, failed.lost) == ([], [1])


async def test_who_stands_still_can_be_stopped(tmp_path: Path) -> None:
    """From when to when it stood still is remembered; a stop does not wait for its end."""
    made = await place(tmp_path, SLEEPS)
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


def test_nothing_of_this_project_is_inherited() -> None:
    """The machine's own settings would be another experiment."""
    found = environment(COPYTRADE_LEASE_S="4")

    assert {name: value for name, value in found.items() if name.startswith("COPYTRADE_")} == {"COPYTRADE_LEASE_S": "4"}
    assert "PATH" in found


def test_every_writing_of_a_result_is_found_in_redis_history() -> None:
    """Once each, whatever stands between; other keys and reads are not counted."""
    written = b"*5\r\n$3\r\nSET\r\n$14\r\narq:result:a.1\r\n$2\r\n{}\r\n$4\r\nPXAT\r\n$1\r\n9\r\n"
    others = b"*3\r\n$3\r\nSET\r\n$11\r\narq:job:a.1\r\n$1\r\nx\r\n*2\r\n$3\r\nDEL\r\n$14\r\narq:result:a.1\r\n"
    history = b"*1\r\n$5\r\nMULTI\r\n" + written + others + written.replace(b"a.1", b"b.2") + written

    assert RESULT_WRITTEN.findall(history) == [b"a.1", b"b.2", b"a.1"]

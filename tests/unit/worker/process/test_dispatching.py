"""The stop of a dispatcher: what it waits for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from worker.process.dispatching import Dispatching, ShardDispatch

NOT_SOON_S = 3600.0


class Idle:
    """A dispatcher, a session or Redis's availability in which nothing goes wrong, and nothing happens."""

    session_id = "s1"
    problems: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Do nothing."""

    def is_trusted(self, session_id: str) -> bool:
        """Return that Redis confirmed the session."""
        return session_id == self.session_id


@pytest.fixture
async def dispatching() -> Dispatching:
    """A dispatcher that is to be stopped."""
    idle = cast("Any", Idle())
    return Dispatching([ShardDispatch(idle, idle, idle)])


async def test_a_task_that_has_ended_holds_up_no_stop(dispatching: Dispatching) -> None:
    """It is among the tasks of arq until its next poll, which does not come any more."""
    ended = asyncio.create_task(asyncio.sleep(0))
    await ended

    await asyncio.wait_for(dispatching.wait_for({"c1": ended}, NOT_SOON_S), timeout=30)


async def test_a_stop_waits_for_the_tasks_under_way(dispatching: Dispatching) -> None:
    """Until the last of them has ended."""
    may_end = asyncio.Event()
    task = asyncio.create_task(may_end.wait())
    stop = asyncio.create_task(dispatching.wait_for({"c1": task}, NOT_SOON_S))
    await asyncio.sleep(0)

    assert not stop.done()

    may_end.set()
    await asyncio.wait_for(stop, timeout=30)
    assert task.done()

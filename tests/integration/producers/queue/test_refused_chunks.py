"""A chunk that Redis refuses while later chunks are under way: lanes keep their order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Producer
from producers.contract import keyspace
from producers.queue.chunks import CHUNK_SIZE
from producers.transport.pipeline import MAX_IN_FLIGHT, _PipelinedConnection
from producers.transport.plan import RunScript
from tests.support.changes import change
from tests.support.lanes import Lanes

CHANGES = 2_000
REFUSED = 2
"""The second chunk, of four."""

FULL = "return redis.error_reply('OOM command not allowed')"


@pytest.fixture
async def waiting(valkey_dsn: str) -> AsyncIterator[Producer]:
    """A producer that waits for a Redis that is full."""
    async with Producer.connect(valkey_dsn, wait_s=20) as producer:
        yield producer


@pytest.fixture
def in_flight(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Refuses the second chunk at its first try, as a full Redis does. How many chunks had no reply at each sending."""
    counts: list[int] = []
    write = _PipelinedConnection._write

    async def refuse_one(self: _PipelinedConnection[Any, Any], step: RunScript[Any]) -> None:
        counts.append(len(self.in_flight))
        if len(counts) == REFUSED:
            await self._connection.send_command("EVAL", FULL, 0)
        else:
            await write(self, step)

    monkeypatch.setattr(_PipelinedConnection, "_write", refuse_one)
    return counts


@pytest.mark.parametrize("call", ["enqueue_many", "fan_out"])
async def test_changes_of_a_lane_keep_their_order_when_a_chunk_between_them_is_refused(
    valkey: ArqRedis, waiting: Producer, in_flight: list[int], call: str
) -> None:
    """The refused chunk is submitted again before any that has changes of its lanes."""
    users = ["1001", "1002", "1003"]
    changes = [change(users[number % len(users)], value=str(number)) for number in range(CHANGES)]
    if call == "enqueue_many":
        given = [job.job_id for job in (await waiting.enqueue_many(changes)).jobs]
    else:
        await waiting.fan_out(changes, batch_id="b")
        given = [f"b..{number}" for number in range(CHANGES)]

    assert len(in_flight) > CHANGES / 500
    for index, user in enumerate(users):
        assert await Lanes(valkey).queued(keyspace.lane(user, "t1")) == given[index :: len(users)]


async def test_chunks_without_a_common_lane_are_in_flight_together(
    valkey: ArqRedis, waiting: Producer, in_flight: list[int]
) -> None:
    """A fan-out does not wait for each reply; a refused chunk is submitted again, and counted."""
    changes = [change(str(user)) for user in range(CHANGES)]

    batch = await waiting.fan_out(changes, batch_id="b")

    assert max(in_flight) == min(MAX_IN_FLIGHT, CHANGES / CHUNK_SIZE - 1), "all but the first, which goes alone"
    assert (await batch.progress()).total == await valkey.zcard(KEYS.bulk_schedule) == CHANGES

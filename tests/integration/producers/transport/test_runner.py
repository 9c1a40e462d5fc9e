"""Plans on a server: what their steps return, and what becomes of errors."""

from __future__ import annotations

from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from ops.keys import KEYS
from producers import QueueUnavailable
from producers.transport.commands import GET, HSET, LPUSH, SET
from producers.transport.plan import Plan, RunScript, Step, Transaction
from producers.transport.runner import run_plan
from producers.transport.scripts import Script

ECHO = Script("return {KEY.counts, ARGV[1], tonumber(ARGV[2]) + 1}")


async def test_plans_are_performed_trip_by_trip(redis: ArqRedis) -> None:
    """Commands in one transaction, scripts by their digest; the answers go back into the plan."""

    def plan() -> Plan[list[Any]]:
        first = yield from Transaction(SET("k", "1"), HSET("h", "f", "v"), GET("k"))
        second = yield from RunScript[list[Any]](ECHO, [b"argument", 7])
        return [first, second]

    assert await run_plan(redis, plan(), "testing") == [(True, 1, b"1"), [KEYS.counts.encode(), b"argument", 8]]


async def test_a_redis_error_is_raised_with_the_action_that_failed(redis: ArqRedis) -> None:
    """As QueueUnavailable."""

    def plan(step: Step[Any]) -> Plan[None]:
        yield step

    await redis.set("k", "no list")
    script = Script("return redis.call('LPUSH', 'k', '1')")
    steps: list[Step[Any]] = [LPUSH("k", "1"), RunScript(script, [])]
    for step in steps:
        with pytest.raises(QueueUnavailable, match=r"^testing: .*WRONGTYPE") as info:
            await run_plan(redis, plan(step), "testing")
        assert isinstance(info.value.__cause__, ResponseError)

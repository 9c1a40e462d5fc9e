"""What is logged while Redis is unreachable."""

from __future__ import annotations

import pytest
from redis.exceptions import BusyLoadingError, NoPermissionError, OutOfMemoryError
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.queue import redis_retry


async def test_an_outage_of_redis_is_logged_at_tries_1_2_4_8_and_16_and_at_its_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line has the error of its try: no answer, a missing right or a rejected command."""
    monkeypatch.setattr(redis_retry, "MAX_PAUSE_S", 0.001)
    errors: list[Exception] = [RedisConnectionError("gone")] * 3 + [NoPermissionError("no right")] * 4
    errors += [BusyLoadingError("loading")] * 8 + [OutOfMemoryError("full")] * 2

    async def ask() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    with caplog.at_level("INFO", logger="worker.queue.redis_retry"):
        assert await redis_retry.retry_until_up(ask) == "answer"

    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" (")[0] for line in lines] == [
        "Redis does not answer",
        "Redis does not answer",
        "Redis's ACL does not permit a command of this worker; ops/redis.acl lists what it needs",
        "Redis does not answer",
        "Redis rejects a command",
        "Redis answers again, at try 18",
    ]

"""What a caller of the gateway is told of an error of the producers' side."""

from __future__ import annotations

import pytest

from producers import QueueUnavailable, ShardsUnavailable
from producers.gateway.calls.problems import REPEAT, of_producer_error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (QueueUnavailable("10.0.0.1:6379"), "queue-unavailable", "Redis is away"),
        (ShardsUnavailable("10.0.0.1:6379"), "shards-unavailable", "The others did what this call asks"),
    ],
)
def test_a_call_that_redis_did_not_answer_tells_no_address(error: QueueUnavailable, kind: str, said: str) -> None:
    """It tells whether a part of the queue did it, and what to do."""
    problem = of_producer_error(error)

    assert (problem.status, problem.type.rpartition(":")[2]) == (503, kind)
    assert said in str(problem.detail)
    assert str(problem.detail).endswith(REPEAT)
    assert "10.0.0.1" not in str(problem.detail)

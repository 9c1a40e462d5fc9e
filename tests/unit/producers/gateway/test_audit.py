"""The log lines about calls that fail since Redis does not serve."""

from __future__ import annotations

from typing import Any, cast

import pytest

from producers import JobNotFound, QueueUnavailable
from producers.gateway.calls.audit import OUTAGE_LOG_S, OutageLog
from producers.gateway.calls.events import Event
from producers.logs import ATTRIBUTE

SCOPE = cast("Any", {})


async def test_an_outage_of_redis_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However many calls fail meanwhile; an error of a call's own is not an outage."""
    times = iter([0.0, OUTAGE_LOG_S - 1, OUTAGE_LOG_S])
    outage_log = OutageLog(lambda: next(times))

    await outage_log(JobNotFound("no such job"), SCOPE)
    for _ in range(3):
        await outage_log(QueueUnavailable("no answer"), SCOPE)

    assert [getattr(record, ATTRIBUTE)[0] for record in caplog.records] == [Event.REDIS_AWAY] * 2

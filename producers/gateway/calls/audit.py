"""The log lines about calls: the audit line of each that operates the queue, and outages of Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable

from litestar.types import Scope

from producers.errors import QueueUnavailable, SettingsError
from producers.gateway.calls.events import Event
from producers.gateway.calls.problems import KeysUnavailable
from producers.gateway.calls.service import AnyRequest, key_of
from producers.logs import log_fields

OUTAGE_LOG_S = 60.0
"""One line a minute, however many calls fail."""

audit_log = logging.getLogger("producers.gateway.audit")
log = logging.getLogger("producers.gateway")


def log_call(request: AnyRequest, action: str, target: str, count: int | None = None) -> None:
    """Write the audit line of a call: who, what, how many."""
    key = key_of(request)
    audit_log.info(
        "key %s (%s): %s %s%s", key.key_id, key.name, action, target, "" if count is None else f", {count}",
        extra=log_fields(Event.OPERATED, key=key.key_id, action=action, target=target, count=count),
    )  # fmt: skip


class OutageLog:
    """Logs that calls fail since Redis does not serve, once a minute. It is a hook of the application.

    Args:
        clock: returns seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged_at_s: float | None = None

    async def __call__(self, error: Exception, _: Scope) -> None:
        """Take note of a call's error."""
        if isinstance(error, KeysUnavailable) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        if not isinstance(error, QueueUnavailable | SettingsError):
            return
        now_s = self._clock()
        if self._logged_at_s is None or now_s - self._logged_at_s >= OUTAGE_LOG_S:
            self._logged_at_s = now_s
            log.warning("calls fail: %s", error, extra=log_fields(Event.REDIS_AWAY))

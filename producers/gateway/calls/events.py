"""The events of the gateway's log lines. `producers/logs.py` formats them."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """The events of log lines. Alerts and dashboards match on their values."""

    SERVING = "serving"
    """The gateway takes calls from now on."""
    STOPPED = "stopped"
    """The gateway takes no calls any more."""
    NO_TRACER_PROVIDER = "no_tracer_provider"
    """Tracing is on, and there is no tracer provider that spans could go to."""
    OPERATED = "operated"
    """A call has changed the queue: the audit line."""
    FEW_FILES = "few_files"
    """The system's limit of open files allows fewer connections than the settings."""
    REDIS_AWAY = "redis_away"
    """A call failed since Redis does not answer or refuses; others wait for a minute with this line."""
    INTERNAL_ERROR = "internal_error"
    """A call raised an unexpected exception; it was answered with a 500."""

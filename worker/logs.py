"""The events of the worker's log lines. `producers/logs.py` formats them."""

from __future__ import annotations

from enum import StrEnum

from producers.logs import log_fields

__all__ = ["Event", "log_fields"]


class Event(StrEnum):
    """The events of log lines. Alerts and dashboards match on their values."""

    SENDING = "sending"
    """A request is being sent."""
    FINISHED = "finished"
    """A change has its outcome."""
    REQUEUED = "requeued"
    """An attempt did not end its change; the lane is scheduled again."""
    FENCED = "fenced"
    """The session ended before the settlement, which was rejected; another worker may have the lane."""
    SESSION_LOST = "session_lost"
    """This worker was not heard of for the TTL of its session; others have its changes, and it begins a new session."""
    ATTEMPT_CANCELLED = "attempt_cancelled"
    """The worker stopped during an attempt; the lane becomes due when its session ends."""
    ATTEMPT_ERROR = "attempt_error"
    """An attempt raised an unexpected exception; it is settled as one whose fate is not known."""
    MALFORMED = "malformed"
    """A claim found a user, a lane or a head that is malformed, or a settlement cannot be written."""
    CREDENTIALS_UNUSABLE = "credentials_unusable"
    """A user's credentials, or a whole file of them, cannot be used; changes wait, or earlier ones stay in use."""
    BREAKER_OPENED = "breaker_opened"
    """Many users in a row failed alike; the egress sends only probes."""
    BREAKER_CLOSED = "breaker_closed"
    """A probe succeeded; the egress sends everything again."""
    EGRESS_HELD = "egress_held"
    """Many users in a row were throttled, or a probe of another one after them; the egress sends only probes."""
    CONTROL_JOB_FAILED = "control_job_failed"
    """A control job ended with an error: it cannot be run, or what it asks for is refused."""
    REDIS_AWAY = "redis_away"
    """Redis does not answer, or refuses; the parts of the worker that wait for it try again."""
    REDIS_BACK = "redis_back"
    """Redis serves all parts of the worker again."""
    STARTED = "started"
    """The worker dispatches lanes from now on."""
    STOPPING = "stopping"
    """The worker stops."""
    UNSAFE_REDIS = "unsafe_redis"
    """Redis is configured so that it may lose or refuse changes, or its configuration cannot be read."""
    UNKNOWN_VARIABLE = "unknown_variable"
    """An environment variable has the prefix of the settings, and is none."""
    TIME_UNKNOWN = "time_unknown"
    """The exchange's time was not fetched at the start; this machine's clock is used at first."""
    PROCESS_ENDED = "process_ended"
    """A worker process ended by itself; its parent starts another."""
    INTERNAL_ERROR = "internal_error"
    """A part of the worker raised an unexpected exception; it goes on."""
    PARENT_GONE = "parent_gone"
    """The parent of this worker process has ended; the worker stops."""
    CRASHED = "crashed"
    """The process ends because of an unexpected exception."""
    LIBRARY = "library"
    """A line of a library (arq, asyncio, Python's warnings), or of an app's own control job; `logger` says whose."""

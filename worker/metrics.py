"""What a worker process counts and measures about itself. No I/O.

ops/METRICS.md describes each metric; a test compares it with `WorkerMetrics`.
"""

from __future__ import annotations

from collections.abc import Iterator

from producers.monitor.instruments import Counter, Family, Gauge, Histogram

REQUEST_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REDIS_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
LAG_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CLAIM_BOUNDS_S = (*REQUEST_BOUNDS_S, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
CHANGE_BOUNDS_S = (*CLAIM_BOUNDS_S[2:], 7200.0, 86_400.0)
ATTEMPT_BOUNDS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 19.0)
"""An attempt history has the last 20 requests, so everything above the last bound is 20 or more."""


class WorkerMetrics:
    """The metrics of one worker process, in the order of ops/METRICS.md."""

    def __init__(self) -> None:
        self.worker_info = Gauge(
            "copytrade_worker_info", "Always 1; the labels say which process this is", "version", "egress", "worker"
        )
        self.requests = Counter(
            "copytrade_requests_total", "Requests to the exchange, by what their reply meant", "egress", "verdict"
        )
        self.replies = Counter("copytrade_replies_total", "Replies of the exchange, by their code", "code")
        self.request_duration = Histogram(
            "copytrade_request_duration_seconds", "From sending a request to its reply", REQUEST_BOUNDS_S, "egress"
        )
        self.claim_delay = Histogram(
            "copytrade_claim_delay_seconds", "From the time a change was due to its claim", CLAIM_BOUNDS_S, "priority"
        )
        self.change_duration = Histogram(
            "copytrade_change_duration_seconds",
            "From enqueuing a change to its outcome",
            CHANGE_BOUNDS_S,
            "priority",
            "outcome",
        )
        self.change_attempts = Histogram(
            "copytrade_change_attempts", "Requests that a finished change took", ATTEMPT_BOUNDS, "outcome"
        )
        self.settlements_refused = Counter(
            "copytrade_settlements_refused_total", "Settlements refused: the session no longer held the lane"
        )
        self.sessions_lapsed = Counter("copytrade_sessions_lapsed_total", "Sessions that this process lost")
        self.poisoned = Counter(
            "copytrade_poisoned_total", "Changes that were ended because they probably kill their workers"
        )
        self.in_flight = Gauge("copytrade_in_flight", "Attempts in hand")
        self.in_flight_limit = Gauge("copytrade_in_flight_limit", "How many attempts may be in hand")
        self.redis_call_duration = Histogram(
            "copytrade_redis_call_duration_seconds", "Calls of scripts that Redis replied to", REDIS_BOUNDS_S, "script"
        )
        self.redis_errors = Counter(
            "copytrade_redis_errors_total", "Calls that Redis did not reply to, or refused", "kind"
        )
        self.shards_unserved = Gauge(
            "copytrade_shards_unserved", "Shards, and the home of several, where Redis does not serve this process"
        )
        self.event_loop_lag = Histogram(
            "copytrade_event_loop_lag_seconds", "How late a timer of the event loop fires", LAG_BOUNDS_S
        )
        self.exchange_clock_offset = Gauge(
            "copytrade_exchange_clock_offset_seconds", "The exchange's clock less this machine's"
        )
        self.credentials_errors = Counter(
            "copytrade_credentials_errors_total", "Look-ups of a user's API keys that failed", "kind"
        )
        self.credentials_source_ok = Gauge(
            "copytrade_credentials_source_ok", "1 if the source of API keys can be read, 0 if it cannot as a whole"
        )

    def __iter__(self) -> Iterator[Family]:
        """Return the metrics in their order."""
        return iter(vars(self).values())

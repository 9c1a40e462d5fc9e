"""The worker's settings, from the environment. The README's table is checked against this struct."""

from __future__ import annotations

from producers.contract.validation import check_id
from producers.errors import InvalidId, SettingsError
from producers.settings import Count, EnvironmentSettings, NotNegative, Positive, Text, variable
from worker.secret import Secret

SLACK_S = 2.0
"""What a lease must have beyond one attempt: waiting for the slot, settling, a stall of the event loop."""


class WorkerSettings(EnvironmentSettings, frozen=True, kw_only=True):
    """The worker's side.

    Attributes:
        redis_dsn: where Redis is: redis://, rediss://, unix:// or sentinel://host:port,host:port/master/db.
        redis_timeout_s: how long Redis may take to connect or to answer.
        exchange_url: where the exchange is.
        credentials: where users' keys are: file:PATH to a TOML file, redis: for sealed records, or
            python:MODULE:FACTORY (worker/credentials/README.md).
        credentials_keys: the key ring that seals records in Redis: file:PATH, or entries <key ID>:<base64>, commas
            between; the first seals, all open.
        egress: name of this worker's egress IP; workers of one name share its limit.
        user_rate_per_s: requests a second of one user. 10 by the endpoint's page; its current version says 5.
        egress_rate_per_s: requests a second of one egress IP. 100: the exchange allows 6000 a minute.
        egress_hold_s: how long nothing is sent after the egress's own limit triggered. The exchange needs 5 minutes
            to recover (Bitget API documentation, FAQ 10, and its change log of August 2025).
        pace_margin_percent: how much slower than the user's rate requests are paced. It only smooths: what keeps the
            limit exact is the guard (worker/queue/rate.py).
        max_jobs: changes that one worker process has in hand at once.
        lease_s: how long a claimed lane is its worker's. A dead worker's lanes are claimed again after this.
        connect_timeout_s: how long connecting to the exchange may take.
        request_timeout_s: how long a whole request may take.
        max_tries: requests a change may take before it ends as exhausted; 0 leaves that to its deadline.
        result_ttl_s: how long results are kept.
        dead_letter_ttl_s: how long changes that ended rejected, unauthorized or exhausted are kept to be replayed.
        stop_timeout_s: how long a stopping worker waits for what is in flight.
        health_interval_s: how often the worker writes its health key and tells that it is there, which it does at least
            once a minute.
        log_level: DEBUG, INFO, WARNING or ERROR.
        log_format: console, for people, or json, one object a line.
    """

    redis_dsn: Text = "redis://localhost:6379/0"
    redis_timeout_s: Positive = 5.0
    exchange_url: Text = "https://api.bitget.com"
    credentials: Text = "file:credentials.toml"
    credentials_keys: Secret | None = None
    egress: Text = "default"
    user_rate_per_s: Positive = 10.0
    egress_rate_per_s: Positive = 100.0
    egress_hold_s: Positive = 300.0
    pace_margin_percent: NotNegative = 0.2
    max_jobs: Count = 256
    lease_s: Positive = 8.0
    connect_timeout_s: Positive = 2.0
    request_timeout_s: Positive = 5.0
    max_tries: int = 0
    result_ttl_s: Positive = 86_400.0
    dead_letter_ttl_s: Positive = 604_800.0
    stop_timeout_s: Count = 10
    health_interval_s: Positive = 10.0
    log_level: Text = "INFO"
    log_format: Text = "console"

    def __post_init__(self) -> None:
        if self.lease_s < self.request_timeout_s + SLACK_S:
            raise SettingsError(
                f"{variable('lease_s')}: must be at least {SLACK_S:g} s longer than "
                f"{variable('request_timeout_s')} ({self.request_timeout_s:g}); got {self.lease_s:g}"
            )
        try:
            check_id(variable("egress"), self.egress)
        except InvalidId as exc:
            raise SettingsError(str(exc)) from None
        if self.max_tries < 0:
            raise SettingsError(f"{variable('max_tries')}: must be 0 (no bound) or more; got {self.max_tries}")
        if self.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise SettingsError(
                f"{variable('log_level')}: must be DEBUG, INFO, WARNING or ERROR; got {self.log_level!r}"
            )
        if self.log_format.lower() not in ("console", "json"):
            raise SettingsError(f"{variable('log_format')}: must be console or json; got {self.log_format!r}")
        if not self.exchange_url.startswith(("http://", "https://")):
            raise SettingsError(f"{variable('exchange_url')}: must start with http:// or https://")

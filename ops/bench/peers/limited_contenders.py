"""The programs of the load `limited`: each by its own limit, or by its own way of trying again what was refused."""

from __future__ import annotations

from ops.bench.peers.contenders import OURS_PLAIN, Contender

_ARQ = ("arq_limited.py", "arq", ("arq", "redis", "hiredis"))
_ARQ_SET_UP = (
    "As tuned, but 256 jobs at once, as many as this project; it has no limit of its own, so a Lua bucket in Redis "
    "gives each job a slot of its user, {}."
)

ARQ_WAIT = Contender(
    "arq-wait",
    "arq, waits for a bucket",
    *_ARQ,
    _ARQ_SET_UP.format(
        "100 ms apart; the job waits for it and keeps its place among them, so that others wait once all are taken"
    ),
    variant="wait",
)
ARQ_WAIT_SLOWER = Contender(
    "arq-wait-slower",
    "arq, waits for a slower bucket",
    *_ARQ,
    _ARQ_SET_UP.format(
        "102 ms apart, 2 % slower, as room for jitter; the job waits for it and keeps its place among them"
    ),
    variant="wait-slower",
)
ARQ_RETRY = Contender(
    "arq-retry",
    "arq, retries by a bucket",
    *_ARQ,
    _ARQ_SET_UP.format("100 ms apart, to which the job is put off by `Retry(defer=...)`"),
    variant="retry",
)
ARQ_RETRY_SLOWER = Contender(
    "arq-retry-slower",
    "arq, retries by a slower bucket",
    *_ARQ,
    _ARQ_SET_UP.format("125 ms apart, 25 % slower, as room for its poll, to which the job is put off by `Retry`"),
    variant="retry-slower",
)
_RETRIES = "It has no limit of its own, so what the exchange refuses is retried after 2 s, which is our choice, {}."

SAQ_RETRY = Contender(
    "saq-retry",
    "saq, retries",
    "saq_limited.py",
    "saq",
    ("saq", "redis", "hiredis"),
    f"64 jobs and calls of Redis at once. {_RETRIES.format('by `retries` and `retry_delay`')}",
)
TASKIQ_RETRY = Contender(
    "taskiq-retry",
    "taskiq, retries",
    "taskiq_limited.py",
    "taskiq",
    ("taskiq", "taskiq-redis", "redis", "hiredis"),
    "64 jobs at once, on asyncio's event loop. "
    + _RETRIES.format("by `SmartRetryMiddleware` and a scheduler in the worker, which looks every second"),
)
STREAQ_RETRY = Contender(
    "streaq-retry",
    "streaq, retries",
    "streaq_limited.py",
    "streaq",
    ("streaq", "coredis", "uvloop"),
    f"64 jobs at once, on uvloop. {_RETRIES.format('by `StreaqRetry(delay=...)`')}",
)
DOCKET_LIMIT = Contender(
    "docket-limit",
    "docket, own limit",
    "docket_limited.py",
    "docket",
    ("pydocket", "redis", "hiredis"),
    "64 jobs at once, a check every 10 ms, also for what was put off; `RateLimit(10, per=timedelta(seconds=1))` on the "
    "user, and `Retry` after 2 s of what is refused all the same.",
)

LIMITED_CONTENDERS = (
    OURS_PLAIN,
    ARQ_WAIT,
    ARQ_WAIT_SLOWER,
    ARQ_RETRY,
    ARQ_RETRY_SLOWER,
    SAQ_RETRY,
    TASKIQ_RETRY,
    STREAQ_RETRY,
    DOCKET_LIMIT,
)
"""In the order of a round."""

"""The programs of the load `limited`: each by its own limit, or by its own way of trying again what was refused."""

from __future__ import annotations

from ops.bench.peers.contenders import OURS_PLAIN, Contender

_ARQ = ("arq_limited.py", "arq", ("arq", "redis", "hiredis"))
_ARQ_SET_UP = "As tuned; it has no limit of its own, so a Lua bucket in Redis gives each job a slot of its user, {}."

ARQ_WAIT = Contender(
    "arq-wait",
    "arq, waits for a bucket",
    *_ARQ,
    _ARQ_SET_UP.format("100 ms apart, for which the job waits"),
    variant="wait",
)
ARQ_WAIT_SLOWER = Contender(
    "arq-wait-slower",
    "arq, waits for a slower bucket",
    *_ARQ,
    _ARQ_SET_UP.format("102 ms apart, for which the job waits"),
    variant="wait-slower",
)
ARQ_RETRY = Contender(
    "arq-retry",
    "arq, retries by a bucket",
    *_ARQ,
    _ARQ_SET_UP.format("100 ms apart, to which the job is put off by `Retry(defer=...)`"),
    variant="retry",
)

LIMITED_CONTENDERS = (OURS_PLAIN, ARQ_WAIT, ARQ_WAIT_SLOWER, ARQ_RETRY)
"""In the order of a round."""

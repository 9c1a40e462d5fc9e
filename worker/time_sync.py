"""Asking the exchange for its time when a worker starts. Later, every reply tells it."""

from __future__ import annotations

import logging

from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.stop import stop_after_attempt
from tenacity.wait import wait_random_exponential

from worker.clock import Clock
from worker.endpoint import TIME_PATH
from worker.errors import TransportError
from worker.exchange import Exchange, RawReply
from worker.exchange_clock import ExchangeClock
from worker.replies import classify

TRIES = 3

log = logging.getLogger("worker.time")


async def learn_time(exchange: Exchange, exchange_clock: ExchangeClock, clock: Clock) -> None:
    """Asks the exchange for its time. Without an answer the wall clock serves until the first reply."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(TransportError),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_attempt(TRIES),
        reraise=True,
    )
    try:
        raw: RawReply = await retrying(exchange.get, TIME_PATH)
    except TransportError as exc:
        log.warning("the exchange's time is not known yet: %s", exc)
        return
    ended_s = clock.monotonic()
    request_time_ms = classify(raw.status, raw.body).request_time_ms
    if request_time_ms is not None:
        exchange_clock.learn(ended_s - raw.took_s, ended_s, request_time_ms)

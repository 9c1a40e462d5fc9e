"""Synchronization with the exchange's time when a worker starts. Later replies update it."""

from __future__ import annotations

import logging

from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.stop import stop_after_attempt
from tenacity.wait import wait_random_exponential

from producers.contract import keyspace
from producers.queue.bucket import US_PER_S
from producers.queue.parts import CLOCK, EGRESS
from producers.transport.clients import keyspace_of
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script
from worker.clock import Clock
from worker.errors import TransportError
from worker.exchange.client import ExchangeClient, RawReply
from worker.exchange.clock import ExchangeClock
from worker.exchange.endpoint import TIME_PATH
from worker.exchange.replies import classify
from worker.logs import Event, log_fields
from worker.queue.rate import Pacing

MAX_TRIES = 3
MAX_SLOT_WAIT_S = 5.0
"""Limit for the wait for a slot, which many slots taken ahead can delay. Then the request is sent anyway."""


class EgressSlotRequest(Message):
    """What egress_slot.lua is given: the egress, escaped, and its pace and burst (us)."""

    egress: str
    egress_pace: int
    egress_burst: int


_take_egress_slot = Script.load(
    "worker.exchange", "egress_slot.lua", parts=[CLOCK, EGRESS], request=EgressSlotRequest, runs_when_full=True
)

log = logging.getLogger(__name__)


async def synchronize(
    exchange_clock: ExchangeClock, *, redis: Redis, exchange: ExchangeClient, clock: Clock, egress: str, pacing: Pacing
) -> None:
    """Request the exchange's time and set the clock; log a warning if no reply comes.

    Each request takes a slot of the egress.
    """

    async def fetch() -> RawReply | None:
        """Request the time at the egress's next slot; return None while its breaker is open."""
        request = EgressSlotRequest(keyspace.escape(egress), pacing.egress_pace_us, pacing.egress_burst_us)
        wait_us = await _take_egress_slot.run(redis, keyspace_of(redis), [encode(request)])
        if wait_us < 0:
            return None
        await clock.sleep(min(wait_us / US_PER_S, MAX_SLOT_WAIT_S))
        return await exchange.get(TIME_PATH)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(TransportError),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_attempt(MAX_TRIES),
        reraise=True,
    )
    try:
        raw: RawReply | None = await retrying(fetch)
    except TransportError as exc:
        log.warning(
            "the exchange's time is not known; this machine's clock is used until the first reply: %s",
            exc,
            extra=log_fields(Event.TIME_UNKNOWN),
        )
        return
    if raw is None:
        extra = log_fields(Event.TIME_UNKNOWN)
        log.warning("the exchange's time is not known: the egress's breaker is open", extra=extra)
        return
    received_s = clock.monotonic()
    request_time_ms = classify(raw.status, raw.body, raw.charset).request_time_ms
    if request_time_ms is not None:
        exchange_clock.add_sample(received_s - raw.took_s, received_s, request_time_ms, corrects_wall_clock=True)

"""Synchronization with the exchange's time when a worker starts. Later replies update it."""

from __future__ import annotations

import logging

from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.stop import stop_after_attempt
from tenacity.wait import wait_random_exponential

from worker.clock import Clock
from worker.errors import TransportError
from worker.exchange.client import ExchangeClient, RawReply
from worker.exchange.clock import ExchangeClock
from worker.exchange.egress_slot import MAX_WAIT_S, EgressSlots, SlotState
from worker.exchange.endpoint import TIME_PATH
from worker.exchange.replies import ReplyClass, classify
from worker.logs import Event, log_fields

MAX_TRIES = 3

_NO_SLOT = {
    SlotState.BLOCKED: "the egress's breaker is open",
    SlotState.LATER: f"the egress has no slot for the request within {MAX_WAIT_S:g} s",
}

log = logging.getLogger(__name__)


async def synchronize(
    exchange_clock: ExchangeClock, *, exchange: ExchangeClient, clock: Clock, slots: EgressSlots
) -> None:
    """Request the exchange's time and set the clock; log a warning if no reply comes.

    Each request takes a slot of the egress.

    Raises:
        redis.exceptions.RedisError: Redis, which has the slots, did not answer.
    """

    async def fetch() -> RawReply | SlotState:
        """Request the time at the egress's next slot; return why there is none if there is none."""
        state = await slots.wait()
        return await exchange.get(TIME_PATH) if state is SlotState.TAKEN else state

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(TransportError),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_attempt(MAX_TRIES),
        reraise=True,
    )
    try:
        raw: RawReply | SlotState = await retrying(fetch)
    except TransportError as exc:
        log.warning(
            "the exchange's time is not known; this machine's clock is used until the first reply: %s",
            exc,
            extra=log_fields(Event.TIME_UNKNOWN),
        )
        return
    if isinstance(raw, SlotState):
        extra = log_fields(Event.TIME_UNKNOWN)
        log.warning("the exchange's time is not known: %s", _NO_SLOT[raw], extra=extra)
        return
    received_s = clock.monotonic()
    reply = classify(raw.status, raw.body, raw.charset)
    # "success" is what a change is answered: a reply that is left over from one, and may be old.
    if reply.request_time_ms is None or reply.reply_class is ReplyClass.SUCCESS:
        extra = log_fields(Event.TIME_UNKNOWN)
        log.warning("the exchange's time is not known: it was answered %d %s", reply.status, reply.message, extra=extra)
        return
    exchange_clock.add_sample(received_s - raw.took_s, received_s, reply.request_time_ms, corrects_wall_clock=True)

"""What a worker that starts takes for the exchange's time."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tests.support.manual_clock import ManualClock
from worker.exchange.client import RawReply
from worker.exchange.clock import ExchangeClock
from worker.exchange.egress_slot import SlotState
from worker.exchange.time_sync import synchronize


class StandIn:
    """An exchange with one reply, and an egress with a slot for each request."""

    def __init__(self, slot: SlotState, reply: dict[str, object]) -> None:
        self._slot = slot
        self._reply = reply
        self.requests = 0

    async def wait(self) -> SlotState:
        """Return what became of the question for a slot."""
        return self._slot

    async def get(self, _path: str) -> RawReply:
        """Return the reply."""
        self.requests += 1
        return RawReply(status=200, body=json.dumps(self._reply).encode(), took_s=0.0)


async def offset_s(slot: SlotState, **reply: object) -> tuple[float | None, int]:
    """Return the offset that a worker knows after its start, and how many requests that took."""
    clock = ManualClock()
    exchange_clock, stand_in = ExchangeClock(clock), StandIn(slot, {"code": "00000", "msg": "success", **reply})
    both = cast("Any", stand_in)
    await synchronize(exchange_clock, exchange=both, clock=clock, slots=both)
    return exchange_clock.offset_s(), stand_in.requests


async def test_the_exchange_is_believed_whatever_this_machines_clock_says() -> None:
    """An hour behind of it."""
    at_ms = ManualClock().now_ms + 3_600_000

    assert await offset_s(SlotState.TAKEN, data={"serverTime": f"{at_ms}"}, requestTime=at_ms) == (3600.0, 1)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"data": "success", "requestTime": ManualClock().now_ms - 60_000}, "200 success"),
        ({"data": {}}, "200 success"),
    ],
    ids=["left over from a change", "without a time"],
)
async def test_another_reply_tells_no_time(
    reply: dict[str, object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute that is believed would make other old replies seem new."""
    assert await offset_s(SlotState.TAKEN, **reply) == (None, 1)
    assert caplog.messages[0].startswith("the exchange's time is not known")
    assert caplog.messages[0].endswith(f"it was answered {said}")


@pytest.mark.parametrize(
    ("slot", "reason"),
    [(SlotState.BLOCKED, "breaker is open"), (SlotState.LATER, "no slot for the request within 5 s")],
)
async def test_without_a_slot_nothing_is_sent(slot: SlotState, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """The worker starts all the same."""
    assert await offset_s(slot) == (None, 0)
    assert caplog.messages[0].endswith(reason)

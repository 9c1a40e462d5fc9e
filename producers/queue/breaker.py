"""The Lua part that opens and closes an egress's breaker, with the constants that it shares with Python."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from producers.contract.messages import THROTTLED
from producers.transport.scripts import Part

FAILING: Final = "failing"
"""The failure kind of a request without a verdict: the exchange, or the way to it, is at fault."""


class BreakerEvent(IntEnum):
    """What a settlement did to its egress."""

    NONE = 0
    OPENED = 1
    CLOSED = 2
    EGRESS_HELD = 3


BREAKER = Part(
    "producers.queue",
    "breaker.lua",
    {"BREAKER_EVENT": BreakerEvent, "FAILING": FAILING, "THROTTLED": THROTTLED},
)

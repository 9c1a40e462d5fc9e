"""What an egress's breaker tells: shared with breaker.lua."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

FAILING: Final = "failing"
"""The failure kind of a request without a verdict: the exchange, or the way to it, is at fault."""


class BreakerEvent(IntEnum):
    """What a settlement did to its egress."""

    NONE = 0
    OPENED = 1
    CLOSED = 2
    EGRESS_HELD = 3

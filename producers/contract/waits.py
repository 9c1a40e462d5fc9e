"""Why a change waits, as a message. No I/O."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class WaitReason(StrEnum):
    """What a change waits for: the first of these that holds."""

    EVERYTHING_PAUSED = "everything_paused"
    TRADER_PAUSED = "trader_paused"
    USER_PAUSED = "user_paused"
    NO_WORKER = "no_worker"
    """No worker is alive that may serve the user."""

    EGRESS_PAUSED = "egress_paused"
    BREAKER_OPEN = "breaker_open"
    """Every egress in use has stopped sending: the exchange fails, throttles it or rejects many users' keys."""

    LANE_TURN = "lane_turn"
    """Other changes of its user and trader go before it."""

    LOST_REQUEST = "lost_request"
    """An earlier request of the lane, of unknown fate, may still be applied."""

    CREDENTIALS_UNAVAILABLE = "credentials_unavailable"
    """The workers cannot read its user's API keys for now."""

    BACK_OFF = "back_off"
    """Its last attempt failed."""

    HOLD = "hold"
    """The exchange has throttled its user."""

    USER_SLOT = "user_slot"
    """Its user's rate limit."""

    USER_TURN = "user_turn"
    """Other lanes of its user go before it."""

    EGRESS_SLOT = "egress_slot"
    """The rate limit of the egress: other users go before its user."""

    DUE = "due"
    """Nothing: a worker takes it next."""


class Wait(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a change waits.

    Attributes:
        reason: a code.
        message: the same as one sentence.
        expected_at_ms: when it is expected to be sent, Unix milliseconds on Redis's clock; None if nobody can tell.
        facts: what the reason depends on; which names there are depends on the reason (`producers/README.md`).
    """

    reason: WaitReason
    message: str
    expected_at_ms: int | None
    facts: dict[str, str | int | float]

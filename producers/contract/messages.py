"""What may be asked of the queue, and what comes back: the messages both sides agree on.

No I/O. Wire names are the exchange's own (`traderId`, `productType`, ...). Constructing a struct checks nothing;
`contract.validation.check` does, and is called by the producer before anything is written and by the worker before
anything is sent.

Source of the fields: the page "Set Copy Trade Settings", POST /api/v2/copy/mix-follower/settings. `autoCopy` and
`mode` are on the page since 2025 and optional.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

import msgspec

CONTRACT_VERSION = 1
"""Version of the messages below. A worker refuses a change whose version is above its own."""

APPLY_SETTINGS = "apply_settings"
"""The arq function name under which a change is stored."""

ProductType = Literal["USDT-FUTURES", "COIN-FUTURES", "USDC-FUTURES"]
MarginType = Literal["trader", "specify"]
LeverType = Literal["position", "specify", "trader"]
TraceType = Literal["percent", "amount", "count"]
AutoCopy = Literal["on", "off"]
Mode = Literal["basic", "advanced"]

PRODUCT_TYPES: tuple[str, ...] = get_args(ProductType)
MARGIN_TYPES: tuple[str, ...] = get_args(MarginType)
LEVER_TYPES: tuple[str, ...] = get_args(LeverType)
TRACE_TYPES: tuple[str, ...] = get_args(TraceType)
AUTO_COPY: tuple[str, ...] = get_args(AutoCopy)
MODES: tuple[str, ...] = get_args(Mode)


class CopySetting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The settings of one trading pair. All values are strings, as on the exchange's wire.

    Attributes:
        symbol: trading pair, such as "BTCUSDT".
        product_type: "USDT-FUTURES", "COIN-FUTURES" or "USDC-FUTURES".
        margin_type: "trader" (as the trader) or "specify".
        margin_coin: margin currency, such as "USDT".
        lever_type: "position", "specify" or "trader". With "specify", a long or a short leverage is required.
        long_leverage: whole number, such as "20".
        short_leverage: whole number.
        trace_type: what `trace_value` means: "percent" (a ratio, "1" is the trader's size), "amount" or "count".
        trace_value: decimal number.
        max_hold_size: decimal number.
        stop_surplus_ratio: take-profit ratio, whole number from 1 to 400.
        stop_loss_ratio: stop-loss ratio, whole number from 1 to 400.
    """

    symbol: str
    product_type: ProductType
    margin_type: MarginType
    margin_coin: str | None = None
    lever_type: LeverType
    long_leverage: str | None = None
    short_leverage: str | None = None
    trace_type: TraceType
    trace_value: str | None = None
    max_hold_size: str | None = None
    stop_surplus_ratio: str | None = None
    stop_loss_ratio: str | None = None


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One change: a user, a trader, and 1 to 10 settings. It becomes one request to the exchange.

    Attributes:
        user_id: the follower's user ID at the exchange; limits and order are kept per user.
        trader_id: the elite trader whose copying is changed. (user, trader) is the lane: its changes stay in order.
        auto_copy: "on" or "off"; effective in mode "basic" only.
        mode: "basic" or "advanced" (the exchange's default).
        settings: 1 to 10 settings, no two of one (symbol, product_type).
    """

    user_id: str
    trader_id: str
    auto_copy: AutoCopy | None = None
    mode: Mode | None = None
    settings: list[CopySetting]


class Priority(StrEnum):
    """Which lanes go first. A lane goes with the highest priority among its changes, and keeps its order."""

    INTERACTIVE = "interactive"
    """Somebody waits for it."""
    BULK = "bulk"
    """One of many; while both wait, one slot in ten is for these."""


class Outcome(StrEnum):
    """How a change ended. Every accepted change gets exactly one."""

    APPLIED = "applied"
    """The exchange answered success."""
    REJECTED = "rejected"
    """The exchange, or the worker before sending, refused the content; trying again would not help."""
    UNAUTHORIZED = "unauthorized"
    """No credentials for the user, or the exchange refused them."""
    EXHAUSTED = "exhausted"
    """It was sent, never with a verdict, until its deadline or its last try."""
    EXPIRED = "expired"
    """Its deadline passed before it was ever sent."""
    CANCELLED = "cancelled"
    """It was taken back before it was sent."""
    SUPERSEDED = "superseded"
    """A later change replaced it before it was sent."""


THROTTLED = "throttled"
"""The verdict on a request that came too early for a limit."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One request that was sent, or that failed on its way.

    Attributes:
        at_ms: when it was sent, Unix milliseconds, Redis's clock.
        took_ms: from the send to the verdict or failure, milliseconds.
        verdict: "success", "transient", "throttled", "clock_skew", "credentials", "permanent", "failed" or "ambiguous"
            (the bytes may have reached the exchange, but no readable answer came back).
        status: HTTP status, if there was a reply.
        code: the exchange's code, if the reply had one.
        message: the exchange's message or the transport's error, shortened.
        outage: whether it was made while requests of other users failed too: then it was no try.
    """

    at_ms: int
    took_ms: int
    verdict: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    outage: bool = False

    @property
    def is_try(self) -> bool:
        """Whether it counts as one: not if it was throttled, nor if the egress or the exchange failed for all."""
        return self.verdict != THROTTLED and not self.outage


class JobResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a change ended.

    Attributes:
        job_id: the change's ID.
        user_id: the user, "" if the payload was unreadable.
        trader_id: the trader, "" if the payload was unreadable.
        outcome: how it ended.
        code: the exchange's code; None if nothing was sent or no reply could be read.
        message: the exchange's message, or ours, for people.
        attempts: the requests that were made, oldest first; the last 20 of them if there were more.
        tries: how many requests counted as a try (throttled ones do not).
        enqueued_at_ms: when it was accepted, Unix milliseconds.
        started_at_ms: when its first request was sent; None if none was.
        finished_at_ms: when it ended.
        successor: the change that replaced all its settings in the last request, if one did; surely with `superseded`.
    """

    job_id: str
    user_id: str
    trader_id: str
    outcome: Outcome
    code: str | None = None
    message: str = ""
    attempts: list[Attempt] = []
    tries: int = 0
    enqueued_at_ms: int = 0
    started_at_ms: int | None = None
    finished_at_ms: int = 0
    successor: str | None = None

    @property
    def applied(self) -> bool:
        """Whether the exchange took the change."""
        return self.outcome is Outcome.APPLIED

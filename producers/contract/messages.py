"""The messages between producers and workers. No I/O.

Wire names are the exchange's (`traderId`, `productType`, ...). Constructing a struct checks nothing: producers call
`contract.validation.check_change` before they write a change, and workers before they send it.

What a program hands in (`SettingsChange`, `CopySetting`) has no unknown fields: a misspelt one is an error. What is
stored, and what a program gets back, may have fields of a later version: they are ignored (`contract.codec`).

Source of the fields: the page "Set Copy Trade Settings", POST /api/v2/copy/mix-follower/settings. `autoCopy` and
`mode` are on the page since 2025 and optional.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

import msgspec

CONTRACT_VERSION = 1
"""Version of the messages below. A worker rejects a change with a higher version than its own."""

APPLY_SETTINGS = "apply_settings"
"""The name of the arq function in a stored change."""

SUBMIT = "submit"
"""The name of the arq function of a control job that enqueues a change."""

CHANGE_SUFFIX = ".change"
"""The end of the job ID of a change that a control job enqueued; before it is the control job's ID."""

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


class CopySetting(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True
):
    """The settings of one trading pair. All values are strings, as the exchange expects them.

    Attributes:
        symbol: trading pair, such as "BTCUSDT".
        product_type: "USDT-FUTURES", "COIN-FUTURES" or "USDC-FUTURES".
        margin_type: "trader" (the trader's) or "specify".
        margin_coin: margin currency, such as "USDT".
        lever_type: "position", "specify" or "trader". With "specify", a long or a short leverage is required.
        long_leverage: whole number, such as "20".
        short_leverage: whole number.
        trace_type: the meaning of `trace_value`: "percent" (a ratio, "1" is the trader's size), "amount" or "count".
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


class SettingsChange(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True
):
    """One change: a user, a trader, and 1 to 10 settings. It becomes one request to the exchange.

    Attributes:
        user_id: the follower's user ID at the exchange, to which the rate limit applies.
        trader_id: the elite trader that the user copies. Changes of the same user and trader are sent in order.
        auto_copy: "on" or "off"; has an effect only in mode "basic".
        mode: "basic" or "advanced" (the exchange's default).
        settings: 1 to 10 settings, each with another (symbol, product_type).
    """

    user_id: str
    trader_id: str
    auto_copy: AutoCopy | None = None
    mode: Mode | None = None
    settings: list[CopySetting]


class Priority(StrEnum):
    """Which lanes are sent first. A lane has the highest priority among its changes, and stays in order."""

    INTERACTIVE = "interactive"
    """Somebody is waiting for it."""
    BULK = "bulk"
    """One of many changes, as in a fan-out. While both kinds wait, one claim in ten is of a bulk lane."""


class Outcome(StrEnum):
    """How a change ended. Every accepted change gets exactly one."""

    APPLIED = "applied"
    """The exchange answered success."""
    REJECTED = "rejected"
    """The exchange, or the worker before sending, rejected the content; a retry would not help."""
    UNAUTHORIZED = "unauthorized"
    """The user has no credentials, or the exchange rejected them."""
    EXHAUSTED = "exhausted"
    """It was sent until its deadline or its last try, without a final reply."""
    EXPIRED = "expired"
    """Its deadline passed before it was sent."""
    CANCELLED = "cancelled"
    """It was cancelled before it was sent."""
    SUPERSEDED = "superseded"
    """A later change replaced it before it was sent."""


THROTTLED = "throttled"
"""The verdict on a request that exceeded a rate limit."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One request that was sent, or that failed while being sent.

    Attributes:
        at_ms: when it was sent, Unix milliseconds on Redis's clock.
        took_ms: milliseconds from sending to the verdict or failure.
        verdict: "success", "transient", "throttled", "clock_skew", "credentials", "permanent", "failed" or "ambiguous"
            (the request may have reached the exchange, but no readable reply came back).
        status: HTTP status, if there was a reply.
        code: the exchange's code, if the reply had one.
        message: the exchange's message or the transport's error, shortened.
        outage: whether requests of other users failed at the same time; then it does not count as a try.
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
        """Whether it counts as a try: neither throttled, nor made while the egress or the exchange failed for all."""
        return self.verdict != THROTTLED and not self.outage


class JobResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a change ended.

    Attributes:
        job_id: the change's ID.
        user_id: the user; "" if the payload was malformed.
        trader_id: the trader; "" if the payload was malformed.
        outcome: how it ended.
        code: the exchange's code; None if nothing was sent or no reply could be read.
        message: the exchange's message or ours, for people.
        attempts: the last 20 requests for it, oldest first.
        tries: how many of its requests counted as a try.
        enqueued_at_ms: when it was accepted, Unix milliseconds on Redis's clock.
        started_at_ms: when its first request was sent; None if none was.
        finished_at_ms: when it ended.
        successor: the job ID of the later change that replaced all of its settings; always set with `superseded`.
        settings: what it was to set; None for a change of a template, and for what earlier versions stored.
        template_of: the batch whose template it was; None for others.
        digest: of its content; None if the payload was malformed, for a change of a template, and for what earlier
            versions stored.
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
    settings: list[CopySetting] | None = None
    template_of: str | None = None
    digest: str | None = None

    @property
    def applied(self) -> bool:
        """Whether the exchange accepted the change."""
        return self.outcome is Outcome.APPLIED

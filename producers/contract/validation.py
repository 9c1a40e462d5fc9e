"""The rules of a change: the values that the exchange's endpoint allows. No I/O.

Source: the page "Set Copy Trade Settings" (fields, enumerations, at most 10 settings, ratios 1 to 400). The page does
not define the form of decimals and IDs; their bounds are ours, and only keep nonsense out of Redis.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from producers.contract.ids import BATCH_MARK, OLD_BATCH_MARK, REPLAY_MARK
from producers.contract.messages import (
    AUTO_COPY,
    LEVER_TYPES,
    MARGIN_TYPES,
    MODES,
    PRODUCT_TYPES,
    TRACE_TYPES,
    CopySetting,
    Priority,
    SettingsChange,
)
from producers.errors import InvalidArgument, InvalidChange, InvalidId, InvalidLimit

MAX_SETTINGS = 10
MAX_ID_CHARS = 128
MAX_RATIO = 400
MAX_LEVERAGE = 999
"""The exchange has a bound per symbol; this one rejects only what cannot be a leverage."""

MAX_BATCH_ID_CHARS = 64
"""Leaves room for the user in the IDs of a batch's changes."""

MIN_RATE_PER_S, MAX_RATE_PER_S = 0.01, 1000
"""Bounds of a user's own rate. The exchange's limits are 1 to 20 per second."""

_BATCH_ID_RULE = f"must be 1 to {MAX_BATCH_ID_CHARS} printable ASCII characters without spaces and slashes"
_ID_RULE = f"must be 1 to {MAX_ID_CHARS} printable ASCII characters without spaces"
_DECIMAL_RULE = 'must be a decimal number as text, without sign or exponent, such as "330" or "0.5"'

ID_PATTERN = rf"[!-~]{{1,{MAX_ID_CHARS}}}"
DECIMAL_PATTERN = r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?"
WHOLE_PATTERN = r"[1-9][0-9]{0,5}"

_match_id = re.compile(ID_PATTERN, re.ASCII).fullmatch
_match_decimal = re.compile(DECIMAL_PATTERN, re.ASCII).fullmatch
_match_whole = re.compile(WHOLE_PATTERN, re.ASCII).fullmatch


class Violation(NamedTuple):
    """A rule that a change breaks."""

    field: str
    rule: str
    value: object


def check_change(change: SettingsChange) -> None:
    """Check that a change breaks no rule.

    Raises:
        InvalidChange: it breaks one; the error has the field in wire names, the rule and the value.
    """
    violation = change_violation(change)
    if violation is not None:
        raise InvalidChange(*violation)


def check_id(name: str, value: object) -> str:
    """Return the ID if it is valid.

    Raises:
        InvalidId: it is not a string of 1 to 128 printable ASCII characters without spaces.
    """
    if _is_id(value):
        return value
    raise InvalidId(name, _ID_RULE, value)


def check_user_id(value: object) -> None:
    """Check the user of a change, as `check_change` does."""
    if not _is_id(value):
        raise InvalidChange("userId", _ID_RULE, value)


def check_new_id(value: object) -> str:
    """Return the job ID if a new change may have it.

    Raises:
        InvalidId: it is not a valid ID, or has the form of a batch's or a replayed change's ID.
    """
    job_id = check_id("job_id", value)
    for mark, whose in ((BATCH_MARK, "a batch's"), (OLD_BATCH_MARK, "a batch's"), (REPLAY_MARK, "replayed")):
        if mark in job_id:
            raise InvalidId("job_id", f"must not contain {mark!r}, which marks {whose} changes", job_id)
    return job_id


def check_batch_id(value: object) -> str:
    """Return the batch ID if it is valid.

    Raises:
        InvalidId: it is not a string of 1 to 64 printable ASCII characters without spaces and slashes.
    """
    if _is_id(value) and "/" not in value and len(value) <= MAX_BATCH_ID_CHARS:
        return value
    raise InvalidId("batch_id", _BATCH_ID_RULE, value)


def check_new_batch_id(value: object) -> str:
    """Return the batch ID if a new batch may have it. Batches of earlier versions may have others.

    Raises:
        InvalidId: it is not a valid batch ID, or its changes could not be told from those of a shorter one.
    """
    batch_id = check_batch_id(value)
    if BATCH_MARK in batch_id or batch_id.endswith(BATCH_MARK[0]):
        rule = f"must not contain {BATCH_MARK!r}, nor end with {BATCH_MARK[0]!r}, since job IDs are <batch>..<user>"
        raise InvalidId("batch_id", rule, batch_id)
    return batch_id


def check_rate(value: object) -> float:
    """Return the rate if it is valid.

    Raises:
        InvalidLimit: it is not a number of requests per second within bounds.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and MIN_RATE_PER_S <= value <= MAX_RATE_PER_S:
        return float(value)
    rule = f"must be a number of requests per second from {MIN_RATE_PER_S:g} to {MAX_RATE_PER_S:g}, or None"
    raise InvalidLimit("rate_per_s", rule, value)


def check_priority(value: object) -> Priority:
    """Return the priority if it is one.

    Raises:
        InvalidArgument: it is not one.
    """
    try:
        return Priority(str(value))
    except ValueError:
        raise InvalidArgument("priority", f"must be {' or '.join(Priority)}", value) from None


def check_flag(name: str, value: object) -> bool:
    """Return the switch if it is one; raise InvalidArgument otherwise."""
    if isinstance(value, bool):
        return value
    raise InvalidArgument(name, "must be true or false", value)


def change_violation(change: Any) -> Violation | None:
    """Return the first rule that a change breaks; None if it breaks none. Values of any type are allowed."""
    if not isinstance(change, SettingsChange):
        return Violation("change", "must be a SettingsChange", change)
    untyped: Any = change  # msgspec checks no types when a struct is constructed
    for name, value in (("userId", untyped.user_id), ("traderId", untyped.trader_id)):
        if not _is_id(value):
            return Violation(name, _ID_RULE, value)
    for name, value, allowed in (("autoCopy", untyped.auto_copy, AUTO_COPY), ("mode", untyped.mode, MODES)):
        if value is not None and value not in allowed:
            return Violation(name, f"must be one of {', '.join(allowed)}", value)
    settings = untyped.settings
    if not isinstance(settings, list | tuple) or not 1 <= len(settings) <= MAX_SETTINGS:
        count = len(settings) if isinstance(settings, list | tuple) else settings
        return Violation("settings", f"must be a list of 1 to {MAX_SETTINGS} settings", count)
    seen: set[tuple[str, str]] = set()
    for index, setting in enumerate(settings):
        violation = _cached_setting_violation(setting)
        if violation is not None:
            return violation._replace(field=f"settings[{index}]{violation.field}")
        pair = (setting.symbol, setting.product_type)
        if pair in seen:
            rule = "must not repeat a (symbol, productType) of an earlier setting of the same change"
            return Violation(f"settings[{index}].symbol", rule, pair)
        seen.add(pair)
    return None


def _cached_setting_violation(setting: object) -> Violation | None:
    """Check a setting, or return the cached answer: a fan-out sends the same settings to many users."""
    try:
        return _hashable_setting_violation(setting)
    except TypeError:  # a field is not hashable, so it breaks a rule
        return _setting_violation(setting)


def _setting_violation(setting: object) -> Violation | None:
    if not isinstance(setting, CopySetting):
        return Violation("", "must be a CopySetting", setting)
    for field, read, holds, rule in _FIELDS:
        value = read(setting)
        if not holds(value):
            return Violation(f".{field}", rule, value)
    if setting.lever_type == "specify" and setting.long_leverage is None and setting.short_leverage is None:
        return Violation(
            ".leverType", 'with "specify", longLeverage or shortLeverage must be given', setting.lever_type
        )
    return None


_hashable_setting_violation = lru_cache(maxsize=4096)(_setting_violation)


def _one_of(allowed: tuple[str, ...]) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, str) and value in allowed, f"must be one of {', '.join(allowed)}"


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _match_id(value) is not None


def _is_optional_id(value: object) -> bool:
    return value is None or _is_id(value)


def _is_optional_decimal(value: object) -> bool:
    return value is None or (isinstance(value, str) and _match_decimal(value) is not None)


def _whole_up_to(maximum: int) -> tuple[Callable[[object], bool], str]:
    def holds(value: object) -> bool:
        return value is None or (isinstance(value, str) and _match_whole(value) is not None and int(value) <= maximum)

    return holds, f'must be a whole number from 1 to {maximum} as text, such as "20"'


_Rule = tuple[str, Callable[[CopySetting], object], Callable[[object], bool], str]
_FIELDS: tuple[_Rule, ...] = (
    ("symbol", lambda s: s.symbol, _is_id, _ID_RULE),
    ("productType", lambda s: s.product_type, *_one_of(PRODUCT_TYPES)),
    ("marginType", lambda s: s.margin_type, *_one_of(MARGIN_TYPES)),
    ("marginCoin", lambda s: s.margin_coin, _is_optional_id, _ID_RULE),
    ("leverType", lambda s: s.lever_type, *_one_of(LEVER_TYPES)),
    ("longLeverage", lambda s: s.long_leverage, *_whole_up_to(MAX_LEVERAGE)),
    ("shortLeverage", lambda s: s.short_leverage, *_whole_up_to(MAX_LEVERAGE)),
    ("traceType", lambda s: s.trace_type, *_one_of(TRACE_TYPES)),
    ("traceValue", lambda s: s.trace_value, _is_optional_decimal, _DECIMAL_RULE),
    ("maxHoldSize", lambda s: s.max_hold_size, _is_optional_decimal, _DECIMAL_RULE),
    ("stopSurplusRatio", lambda s: s.stop_surplus_ratio, *_whole_up_to(MAX_RATIO)),
    ("stopLossRatio", lambda s: s.stop_loss_ratio, *_whole_up_to(MAX_RATIO)),
)

"""The rules of a change: which values the endpoint's page allows. Values in, error out; no I/O.

Source: the page "Set Copy Trade Settings" (fields, enumerations, at most 10 settings, ratios 1 to 400). The page leaves
open what a decimal or an ID looks like; the bounds on those are ours and only keep nonsense out of Redis.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from producers.contract.keyspace import BATCH_MARK, REPLAY_MARK
from producers.contract.messages import (
    AUTO_COPY,
    LEVER_TYPES,
    MARGIN_TYPES,
    MODES,
    PRODUCT_TYPES,
    TRACE_TYPES,
    CopySetting,
    SettingsChange,
)
from producers.errors import InvalidChange, InvalidId, InvalidLimit, abbreviated

MAX_SETTINGS = 10
MAX_ID_CHARS = 128
MAX_RATIO = 400
MAX_LEVERAGE = 999
"""The exchange has its own bound per symbol; this one only refuses what cannot be a leverage."""

MAX_BATCH_ID_CHARS = 64
"""Leaves room for the user in the IDs of a batch's changes."""

MIN_RATE_PER_S, MAX_RATE_PER_S = 0.01, 1000
"""Bounds of a user's own rate. The exchange's limits are 1 to 20 a second; the rest is room."""

_BATCH_ID_RULE = f"must be 1 to {MAX_BATCH_ID_CHARS} printable ASCII characters without spaces and slashes"
_ID_RULE = f"must be 1 to {MAX_ID_CHARS} printable ASCII characters without spaces"
_DECIMAL_RULE = 'must be a string holding a decimal number without sign or exponent, such as "330" or "0.5"'

ID_PATTERN = rf"[!-~]{{1,{MAX_ID_CHARS}}}"
DECIMAL_PATTERN = r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?"
WHOLE_PATTERN = r"[1-9][0-9]{0,5}"

_is_id = re.compile(ID_PATTERN, re.ASCII).fullmatch
_is_decimal = re.compile(DECIMAL_PATTERN, re.ASCII).fullmatch
_is_whole = re.compile(WHOLE_PATTERN, re.ASCII).fullmatch

Violation = tuple[str, str, object]
"""(field, rule, value)"""


def check(change: SettingsChange) -> None:
    """Refuses a change that breaks a rule.

    Raises:
        InvalidChange: names the field in wire names, the rule and the value.
    """
    fault = change_violation(change)
    if fault is not None:
        raise InvalidChange(*fault)


def check_id(name: str, value: object) -> str:
    """Returns the ID if it can be one.

    Raises:
        InvalidId: it is not a string of 1 to 128 printable ASCII characters without spaces.
    """
    if isinstance(value, str) and _is_id(value):
        return value
    raise InvalidId(f"{name}: {_ID_RULE}; got {abbreviated(value)}")


def check_user_id(value: object) -> None:
    """Refuses what cannot be a change's user.

    Raises:
        InvalidChange: as `check` would.
    """
    if not (isinstance(value, str) and _is_id(value)):
        raise InvalidChange("userId", _ID_RULE, value)


def check_new_id(value: object) -> str:
    """Returns the job ID if a new change may have it.

    Raises:
        InvalidId: it cannot be an ID, or looks like that of a batch's change.
    """
    job_id = check_id("job_id", value)
    for mark, whose in ((BATCH_MARK, "a batch's"), (REPLAY_MARK, "replayed")):
        if mark in job_id:
            raise InvalidId(f"job_id: must not contain {mark!r}, by which {whose} changes are told; got {job_id!r}")
    return job_id


def check_batch_id(value: object) -> str:
    """Returns the batch ID if it can be one.

    Raises:
        InvalidId: it is not a string of 1 to 64 printable ASCII characters without spaces and slashes.
    """
    if isinstance(value, str) and _is_id(value) and "/" not in value and len(value) <= MAX_BATCH_ID_CHARS:
        return value
    raise InvalidId(f"batch_id: {_BATCH_ID_RULE}; got {abbreviated(value)}")


def check_rate(value: object) -> float:
    """Returns the rate if it can be one.

    Raises:
        InvalidLimit: it is not a number of requests a second within bounds.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and MIN_RATE_PER_S <= value <= MAX_RATE_PER_S:
        return float(value)
    raise InvalidLimit(
        f"rate_per_s: must be a number of requests a second from {MIN_RATE_PER_S:g} to {MAX_RATE_PER_S:g},"
        f" or None for the workers' own; got {abbreviated(value)}"
    )


def change_violation(change: Any) -> Violation | None:
    """Return the first rule that a change breaks; None if it breaks none."""
    if not isinstance(change, SettingsChange):
        return "change", "must be a SettingsChange", change
    given: Any = change  # a struct's annotations promise nothing about what it was built from
    for name, value in (("userId", given.user_id), ("traderId", given.trader_id)):
        if not (isinstance(value, str) and _is_id(value)):
            return name, _ID_RULE, value
    for name, value, allowed in (("autoCopy", given.auto_copy, AUTO_COPY), ("mode", given.mode, MODES)):
        if value is not None and value not in allowed:
            return name, f"must be one of {', '.join(allowed)}", value
    settings = given.settings
    if not isinstance(settings, list | tuple) or not 1 <= len(settings) <= MAX_SETTINGS:
        count = len(settings) if isinstance(settings, list | tuple) else settings
        return "settings", f"must be a list of 1 to {MAX_SETTINGS} settings", count
    seen: set[tuple[str, str]] = set()
    for index, setting in enumerate(settings):
        fault = _known_setting_violation(setting)
        if fault is not None:
            field, rule, value = fault
            return f"settings[{index}]{field}", rule, value
        pair = (setting.symbol, setting.product_type)
        if pair in seen:
            rule = "must not repeat a (symbol, productType) of an earlier setting of the same change"
            return f"settings[{index}].symbol", rule, pair
        seen.add(pair)
    return None


def _known_setting_violation(setting: object) -> Violation | None:
    try:
        return _remembered_setting_violation(setting)
    except TypeError:  # a field holds something unhashable, which is a fault in itself
        return _setting_violation(setting)


def _setting_violation(setting: object) -> Violation | None:
    if not isinstance(setting, CopySetting):
        return "", "must be a CopySetting", setting
    for field, read, holds, rule in _FIELDS:
        value = read(setting)
        if not holds(value):
            return f".{field}", rule, value
    if setting.lever_type == "specify" and setting.long_leverage is None and setting.short_leverage is None:
        return ".leverType", 'with "specify", longLeverage or shortLeverage must be given', setting.lever_type
    return None


_remembered_setting_violation = lru_cache(maxsize=4096)(_setting_violation)
"""A fan-out sends the same settings to many users: judging them once is enough."""


def _one_of(allowed: tuple[str, ...]) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, str) and value in allowed, f"must be one of {', '.join(allowed)}"


def _text(value: object) -> bool:
    return isinstance(value, str) and _is_id(value) is not None


def _optional_text(value: object) -> bool:
    return value is None or _text(value)


def _optional_decimal(value: object) -> bool:
    return value is None or (isinstance(value, str) and _is_decimal(value) is not None)


def _whole_up_to(most: int) -> tuple[Callable[[object], bool], str]:
    def holds(value: object) -> bool:
        return value is None or (isinstance(value, str) and _is_whole(value) is not None and int(value) <= most)

    return holds, f'must be a string holding a whole number from 1 to {most}, such as "20"'


_Rule = tuple[str, Callable[[CopySetting], object], Callable[[object], bool], str]
_FIELDS: tuple[_Rule, ...] = (
    ("symbol", lambda s: s.symbol, _text, _ID_RULE),
    ("productType", lambda s: s.product_type, *_one_of(PRODUCT_TYPES)),
    ("marginType", lambda s: s.margin_type, *_one_of(MARGIN_TYPES)),
    ("marginCoin", lambda s: s.margin_coin, _optional_text, _ID_RULE),
    ("leverType", lambda s: s.lever_type, *_one_of(LEVER_TYPES)),
    ("longLeverage", lambda s: s.long_leverage, *_whole_up_to(MAX_LEVERAGE)),
    ("shortLeverage", lambda s: s.short_leverage, *_whole_up_to(MAX_LEVERAGE)),
    ("traceType", lambda s: s.trace_type, *_one_of(TRACE_TYPES)),
    ("traceValue", lambda s: s.trace_value, _optional_decimal, _DECIMAL_RULE),
    ("maxHoldSize", lambda s: s.max_hold_size, _optional_decimal, _DECIMAL_RULE),
    ("stopSurplusRatio", lambda s: s.stop_surplus_ratio, *_whole_up_to(MAX_RATIO)),
    ("stopLossRatio", lambda s: s.stop_loss_ratio, *_whole_up_to(MAX_RATIO)),
)

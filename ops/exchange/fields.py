"""Validation of the body of "Set Copy Trade Settings", field by field. No I/O.

Fields and their values: Bitget API documentation, "Set Copy Trade Settings" (POST /api/v2/copy/mix-follower/settings).
`traceValue` is optional, as in that page's first version; `autoCopy` and `mode` were added later. The page does not
document conditions between fields, the maximum leverage (taken from "Copy Settings") or the code of each error. There
the double is strict. It also rejects unknown fields, so that a misspelt one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ops.exchange.verdicts import (
    DOES_NOT_EXIST,
    FIELD_EMPTY,
    FIELD_WRONG,
    LEVERAGE_OUT_OF_RANGE,
    RATIO_TOO_SMALL,
    STOP_LOSS_OUT_OF_RANGE,
    TAKE_PROFIT_OUT_OF_RANGE,
    TOO_MANY_ENTRIES,
    VALUE_WRONG,
    VERIFICATION_FAILED,
)

MAX_SETTINGS = 10
MAX_LEVERAGE = 125
MAX_STOP_RATIO = 400
MAX_RECORDED_CHARS = 64


class FieldError(Exception):
    """A body that the exchange rejects.

    Attributes:
        code: the exchange's code.
        message: the field and the rule that it breaks.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Change(NamedTuple):
    """A valid body.

    Attributes:
        trader: the trader's ID.
        settings: the settings by wire name, with unchanged values and without empty optional fields.
    """

    trader: str
    settings: list[dict[str, str]]


class _Rule(NamedTuple):
    accepts: Callable[[str], object]
    code: str
    requirement: str
    required: bool = False


def _whole_number(highest: int) -> Callable[[str], bool]:
    def within(value: str) -> bool:
        return re.fullmatch(r"[0-9]{1,9}", value) is not None and 1 <= int(value) <= highest

    return within


def _choice(*values: str, required: bool = True) -> _Rule:
    return _Rule(frozenset(values).__contains__, FIELD_WRONG, f"must be one of {', '.join(values)}", required)


_decimal = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?").fullmatch
_word = re.compile(r"\S{1,64}").fullmatch
_leverage = _Rule(
    _whole_number(MAX_LEVERAGE), LEVERAGE_OUT_OF_RANGE, f"must be a whole number from 1 to {MAX_LEVERAGE}"
)
_ratio_requirement = f"must be a whole number from 1 to {MAX_STOP_RATIO}"

BODY_RULES = {
    "traderId": _Rule(_word, FIELD_WRONG, "must be an ID without spaces", required=True),
    "autoCopy": _choice("on", "off", required=False),
    "mode": _choice("basic", "advanced", required=False),
}
SETTING_RULES = {
    "symbol": _Rule(_word, DOES_NOT_EXIST, "must be a trading pair", required=True),
    "productType": _choice("USDT-FUTURES", "COIN-FUTURES", "USDC-FUTURES"),
    "marginType": _choice("trader", "specify"),
    "marginCoin": _Rule(_word, DOES_NOT_EXIST, "must be a coin"),
    "leverType": _choice("position", "specify", "trader"),
    "longLeverage": _leverage,
    "shortLeverage": _leverage,
    "traceType": _choice("percent", "amount", "count"),
    "traceValue": _Rule(_decimal, VALUE_WRONG, "must be a decimal number without sign or exponent"),
    "maxHoldSize": _Rule(_decimal, VALUE_WRONG, "must be a decimal number without sign or exponent"),
    "stopSurplusRatio": _Rule(_whole_number(MAX_STOP_RATIO), TAKE_PROFIT_OUT_OF_RANGE, _ratio_requirement),
    "stopLossRatio": _Rule(_whole_number(MAX_STOP_RATIO), STOP_LOSS_OUT_OF_RANGE, _ratio_requirement),
}


def decode_json(body: bytes) -> Any:
    """Return the JSON document in a body, or None if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def summarize(document: Any) -> tuple[str, tuple[str, ...]]:
    """Return the parts of a body that the ledger records. The body may be invalid.

    Returns:
        The trader ("" if absent) and the trace values in order ("" for a setting without one).
    """
    if not isinstance(document, dict):
        return "", ()
    settings = document.get("settings")
    entries = settings[: MAX_SETTINGS + 1] if isinstance(settings, list) else []
    values = tuple([_truncate(entry.get("traceValue", "")) if isinstance(entry, dict) else "" for entry in entries])
    return _truncate(document.get("traderId", "")), values


def _truncate(value: Any) -> str:
    return str(value)[:MAX_RECORDED_CHARS]


def validate(document: Any) -> Change:
    """Return the change of a valid body.

    Args:
        document: the result of `decode_json`.

    Raises:
        FieldError: a field is invalid. The error is that of the first one, in the documentation's order of fields.
    """
    if not isinstance(document, dict):
        raise FieldError(VERIFICATION_FAILED, "the body is not a JSON object")
    body_fields = dict(document)
    entries = body_fields.pop("settings", None)
    trader = _validate_fields(body_fields, BODY_RULES, "")["traderId"]
    if not isinstance(entries, list) or not entries:
        raise FieldError(FIELD_EMPTY, "settings must be a list with at least one entry")
    if len(entries) > MAX_SETTINGS:
        raise FieldError(TOO_MANY_ENTRIES, f"settings has {len(entries)} entries; at most {MAX_SETTINGS} are allowed")
    settings = [_validate_setting(entry, f"settings[{index}]") for index, entry in enumerate(entries)]
    if len({(setting["symbol"], setting["productType"]) for setting in settings}) < len(settings):
        raise FieldError(VERIFICATION_FAILED, "settings names a pair of symbol and productType twice")
    return Change(trader, settings)


def _validate_setting(entry: Any, where: str) -> dict[str, str]:
    if not isinstance(entry, dict):
        raise FieldError(VERIFICATION_FAILED, f"{where} is not an object")
    setting = _validate_fields(entry, SETTING_RULES, f"{where}.")
    if setting["leverType"] == "specify" and "longLeverage" not in setting and "shortLeverage" not in setting:
        raise FieldError(FIELD_EMPTY, f"{where}: leverType specify needs longLeverage or shortLeverage")
    if not setting.get("traceValue", "1").strip("0."):
        raise FieldError(RATIO_TOO_SMALL, f"{where}.traceValue must be more than 0")
    return setting


def _validate_fields(entry: dict[str, Any], rules: dict[str, _Rule], where: str) -> dict[str, str]:
    for name in entry:
        if name not in rules:
            raise FieldError(VERIFICATION_FAILED, f"{where}{name} is not a field of this request")
    valid: dict[str, str] = {}
    for name, rule in rules.items():
        value = entry.get(name)
        if value is None or value == "":
            if rule.required:
                raise FieldError(FIELD_EMPTY, f"{where}{name} is required")
        elif not isinstance(value, str):
            raise FieldError(FIELD_WRONG, f"{where}{name} must be a string")
        elif not rule.accepts(value):
            raise FieldError(rule.code, f"{where}{name} {rule.requirement}")
        else:
            valid[name] = value
    return valid

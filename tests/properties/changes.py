"""Valid changes, and arbitrary objects."""

from __future__ import annotations

from hypothesis import strategies as st

from producers import CopySetting, SettingsChange
from producers.contract.messages import AUTO_COPY, LEVER_TYPES, MARGIN_TYPES, MODES, PRODUCT_TYPES, TRACE_TYPES
from producers.contract.validation import MAX_ID_CHARS, MAX_LEVERAGE, MAX_RATIO


def _optional(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | strategy


_printable = "".join(map(chr, range(ord("!"), ord("~") + 1)))
identifiers = st.text(_printable, min_size=1, max_size=12) | st.just("~" * MAX_ID_CHARS)
_decimals = st.decimals(0, 10**18, places=2).map(str) | st.integers(0, 10**19).map(str)
_leverages = st.integers(1, MAX_LEVERAGE).map(str)
_ratios = st.integers(1, MAX_RATIO).map(str)

settings = st.builds(
    CopySetting,
    symbol=identifiers,
    product_type=st.sampled_from(PRODUCT_TYPES),
    margin_type=st.sampled_from(MARGIN_TYPES),
    margin_coin=_optional(identifiers),
    lever_type=st.sampled_from(LEVER_TYPES),
    long_leverage=_leverages,
    short_leverage=_optional(_leverages),
    trace_type=st.sampled_from(TRACE_TYPES),
    trace_value=_optional(_decimals),
    max_hold_size=_optional(_decimals),
    stop_surplus_ratio=_optional(_ratios),
    stop_loss_ratio=_optional(_ratios),
)

changes = st.builds(
    SettingsChange,
    user_id=identifiers,
    trader_id=identifiers,
    auto_copy=_optional(st.sampled_from(AUTO_COPY)),
    mode=_optional(st.sampled_from(MODES)),
    settings=st.lists(
        settings, min_size=1, max_size=3, unique_by=lambda setting: (setting.symbol, setting.product_type)
    ),
)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)

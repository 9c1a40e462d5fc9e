"""Checks the settings that the exchange holds at the end. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ops.ledger.evidence import Change, Evidence
from ops.ledger.verdict import StallExcuses


def last_applied_is_held(seen: Evidence, excuses: StallExcuses) -> Iterator[str]:
    """Yield each setting at the exchange that is not of the change that was applied last, and each that is missing."""
    by_value = {(change.lane, change.trace_value): change for change in seen.changes.values()}
    lanes, granted = seen.lanes(), seen.granted()
    for (lane, symbol), setting in seen.final_settings.items():
        held = by_value.get((lane, setting.get("traceValue", "")))
        if held is None or setting != _setting(held, symbol):
            yield f"the exchange holds {setting} for {lane}, {symbol}, which nobody requested"
            continue
        if held.job_id not in granted:
            yield f"the exchange holds {held} for {symbol}, although it accepted no request with it"
        for change in lanes[lane]:
            if symbol in change.symbols and _is_applied(change, seen) and held.precedes(change):
                if not excuses.has_excused(lane):
                    yield f"the exchange holds {held} for {symbol}, although {change} was applied after it"
                break
    for lane, changes in lanes.items():
        missing = [
            f"the exchange holds nothing for {symbol}, although {change} was applied"
            for change in changes
            if _is_applied(change, seen)
            for symbol in change.symbols
            if (lane, symbol) not in seen.final_settings
        ]
        yield from missing[:1]


def _setting(change: Change, symbol: str) -> object:
    return next((msgspec.to_builtins(setting) for setting in change.change.settings if setting.symbol == symbol), None)


def _is_applied(change: Change, seen: Evidence) -> bool:
    result = seen.results.get(change.job_id)
    return result is not None and result.applied

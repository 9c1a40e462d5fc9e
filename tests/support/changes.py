"""Small, valid changes that differ by their trace value."""

from __future__ import annotations

from typing import Any

from producers import Attempt, CopySetting, JobResult, Outcome, SettingsChange

TRADER = "t1"


def setting(**changed: Any) -> CopySetting:
    """Return the setting of the endpoint's example, with some fields changed."""
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "product_type": "USDT-FUTURES",
        "margin_type": "trader",
        "margin_coin": "USDT",
        "lever_type": "trader",
        "trace_type": "amount",
        "trace_value": "330",
        "max_hold_size": "5000",
    }
    return CopySetting(**(fields | changed))


def change(user: str = "1001", trader: str = TRADER, value: str = "1") -> SettingsChange:
    """Return a valid change of one setting."""
    return SettingsChange(user_id=user, trader_id=trader, settings=[setting(trace_value=value)])


def numbered(count: int, user: str = "1001", trader: str = TRADER) -> list[SettingsChange]:
    """Return changes of one lane whose trace values are 1, 2, 3, ..."""
    return [change(user, trader, str(number)) for number in range(1, count + 1)]


def attempt(verdict: str = "success", at_ms: int = 1_000, **changed: Any) -> Attempt:
    """Return an attempt that took 20 ms."""
    return Attempt(at_ms=at_ms, took_ms=20, verdict=verdict, **changed)


def result(job_id: str, outcome: Outcome = Outcome.APPLIED, **changed: Any) -> JobResult:
    """Return a result of user 1001."""
    fields: dict[str, Any] = {
        "job_id": job_id,
        "user_id": "1001",
        "trader_id": TRADER,
        "outcome": outcome,
        "enqueued_at_ms": 1_000,
        "finished_at_ms": 2_000,
    }
    return JobResult(**(fields | changed))

"""Files of followers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

from producers import SettingsChange
from producers.cli.input.followers import Followers, ValidRow
from producers.cli.input.row_errors import RowError
from producers.cli.input.template import Template

SETTINGS: Mapping[str, object] = {
    "traderId": "t1",
    "symbol": "BTCUSDT",
    "productType": "USDT-FUTURES",
    "marginType": "trader",
    "leverType": "trader",
    "traceType": "amount",
    "traceValue": "330",
}
"""Everything that a change needs beside its user."""


def followers(
    text: str | bytes,
    form: Literal["csv", "jsonl"] = "csv",
    settings: object = SETTINGS,
    *,
    ignore_other_columns: bool = False,
) -> Followers:
    """Return a file with this text."""
    content = text.encode() if isinstance(text, str) else text
    return Followers(io.BytesIO(content), form, Template.from_json(settings), ignore_other_columns)


def changes(found: Followers) -> list[SettingsChange]:
    """Return the changes of its valid lines."""
    return [each.change for each in found if isinstance(each, ValidRow)]


def users(found: Followers) -> list[str]:
    """Return the users of its valid lines."""
    return [change.user_id for change in changes(found)]


def row_errors(found: Followers) -> list[tuple[int, str]]:
    """Return line and field of its malformed lines."""
    return [(each.line, each.field) for each in found if isinstance(each, RowError)]

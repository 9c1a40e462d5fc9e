"""The screen of one trader: its pause, and what that holds back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producers.gateway.api.operating import require_unbound
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.live import Screen


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    require_unbound(request)
    trader_id = request.query_params.get("id", "")
    status = await gateway_of(request).producer.trader_status(trader_id)
    return {"title": f"Trader {trader_id}", "status": status}


ROUTES = Screen("/trader", "trader.html", _load, parameters=("id",)).routes()

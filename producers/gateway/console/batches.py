"""The screen of the newest batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from producers import Progress
from producers.gateway.api.batches import permitted_batches
from producers.gateway.calls.service import AnyRequest
from producers.gateway.console.forms import read_number
from producers.gateway.console.live import Screen

SHOWN = 25
"""Batches a page. Each costs Redis a call, every two seconds and tab."""

MAX_SKIP = 1_000_000


def state_of(progress: Progress) -> str:
    """Return the state of a batch in a word."""
    if progress.cancelled:
        return "cancelled"
    if progress.complete:
        return "complete"
    return "running" if progress.sealed else "submitting"


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    skip = read_number(request, "skip", MAX_SKIP)
    found, has_more = await permitted_batches(request, SHOWN, skip)
    return {
        "title": "Batches",
        "section": "/batches",
        "batches": [(progress, state_of(progress)) for progress in found],
        "skip": skip,
        "newer": max(0, skip - SHOWN) if skip else None,
        "older": skip + SHOWN if has_more else None,
    }


ROUTES = Screen("/batches", "batches.html", _load, parameters=("skip",)).routes()

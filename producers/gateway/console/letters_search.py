"""Looking for the dead letters that match: those of one batch or user may be behind thousands of others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from producers import DeadLetterPage, DeadLetters

SHOWN_LETTERS = 50
MORE_PAGES = 4
"""Of 2,000 dead letters each, which a look reads further while none matches."""


async def search_letters(dead: DeadLetters, start_us: float | None, selection: dict[str, Any]) -> DeadLetterPage:
    """Return a page of the dead letters that match, from a time on backwards; None for the newest."""
    page = await dead.page(start_us, limit=SHOWN_LETTERS, **selection)
    for _ in range(MORE_PAGES):
        if page.letters or page.next_us is None:
            break
        more = await dead.page(page.next_us, limit=SHOWN_LETTERS, **selection)
        page = replace(more, looked_at=page.looked_at + more.looked_at)
    return page

"""How the console looks for dead letters that are behind thousands of others."""

from __future__ import annotations

from typing import Any, cast

from producers import DeadLetterPage
from producers.gateway.console.letters_search import MORE_PAGES, search_letters
from producers.queue.dead_letters import DeadLetter


class Letters:
    """Dead letters of which only the page at one place has some that match."""

    def __init__(self, page: int) -> None:
        self.match_on, self.looks = page, 0

    async def page(self, start_us: float | None, *, limit: int, **filters: Any) -> DeadLetterPage:
        """Return the next page: 2,000 were looked at for it."""
        assert (start_us, limit > 0, filters) == (self.looks or None, True, {"user_id": "5"})
        self.looks += 1
        found = [cast("DeadLetter", object())] if self.looks == self.match_on else []
        return DeadLetterPage(found, 2000, float(self.looks))


async def found_in(letters: Letters) -> DeadLetterPage:
    """Return the page that is shown of such dead letters."""
    return await search_letters(cast("Any", letters), None, {"user_id": "5"})


async def test_a_look_goes_on_to_the_first_dead_letters_that_match() -> None:
    """And says how many it looked at until then."""
    page = await found_in(Letters(3))

    assert (len(page.letters), page.looked_at, page.next_us) == (1, 6000, 3)


async def test_a_look_ends_after_some_pages_without_any() -> None:
    """The next look begins where it ended."""
    letters = Letters(MORE_PAGES + 2)

    page = await found_in(letters)

    assert (page.letters, page.next_us, letters.looks) == ([], MORE_PAGES + 1, MORE_PAGES + 1)

"""The results that the screen of a batch shows: the next ones, or those of a user, an outcome or a code."""

from __future__ import annotations

from dataclasses import dataclass, field

from producers import Batch, Outcome
from producers.contract.messages import JobResult
from producers.contract.validation import check_user_id
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.queue.cursors import format_cursor
from producers.queue.dead_letter_selection import NO_CODE
from producers.queue.jobs import JobState, JobStatus

SHOWN_RESULTS = 50

SEARCHED_PAGES, SEARCHED_PAGE = 2, 1000
"""Results that a page looks through for those of a user, an outcome or a code."""


@dataclass(slots=True)
class Rows:
    """The results that a page shows.

    Attributes:
        results: the results.
        cursor: where the next page starts.
        complete: whether there will be none after these.
        looked_at_all: whether the results that exist now were looked at to their end.
        job_id: the change of the user that is searched, if its ID is known.
        status: what became of that change.
    """

    results: list[JobResult] = field(default_factory=list)
    cursor: str | None = None
    complete: bool = False
    looked_at_all: bool = True
    job_id: str | None = None
    status: JobStatus | None = None


async def rows_of(
    request: AnyRequest, batch: Batch, after: str | None, outcome: Outcome | None, user_id: str | None, code: str | None
) -> Rows:
    """Return the results of a page: the next after a cursor, of a user, an outcome and a code if they are given."""
    if user_id is not None:
        check_user_id(user_id)
        job_id = await batch.job_id_of(user_id)
        if job_id is not None:
            status = await gateway_of(request).producer.job(job_id).status()
            if status.result is not None:
                shown = [status.result] if _matches(status.result, outcome, None, code) else []
                return Rows(shown, complete=True)
            return Rows(job_id=None if status.state is JobState.NOT_FOUND else job_id, status=status)
    if user_id is None and outcome is None and code is None:
        page = await batch.page(after, SHOWN_RESULTS)
        return Rows(page.results, page.cursor, page.complete, not page.is_full)
    return await _search(batch, after, outcome, user_id, code)


def _matches(result: JobResult, outcome: Outcome | None, user_id: str | None, code: str | None) -> bool:
    return (
        outcome in (None, result.outcome)
        and user_id in (None, result.user_id)
        and code in (None, result.code or NO_CODE)
    )


async def _search(
    batch: Batch, after: str | None, outcome: Outcome | None, user_id: str | None, code: str | None
) -> Rows:
    """Return the next results of a user, an outcome or a code, among the next `SEARCHED_PAGES` pages."""
    rows = Rows(cursor=after, looked_at_all=False)
    outcomes = None if outcome is None else (outcome,)
    for _ in range(SEARCHED_PAGES):
        page = await batch.page(rows.cursor, SEARCHED_PAGE, outcomes=outcomes)
        for result, position in zip(page.results, page.positions, strict=True):
            if _matches(result, outcome, user_id, code):
                rows.results.append(result)
                if len(rows.results) == SHOWN_RESULTS:
                    rows.cursor = format_cursor(batch.batch_id, position)
                    return rows
        has_moved, rows.cursor, rows.complete = page.cursor != rows.cursor, page.cursor, page.complete
        if page.complete or not has_moved:
            rows.looked_at_all = True
            break
    return rows

"""What actions of the console share: they end on a page that says what was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response
from litestar.response import Redirect

from producers.cli.text import format_count
from producers.gateway.calls.service import AnyRequest
from producers.gateway.console.rendering import link, render

SEE_OTHER: Final = 303

NOTICES = {
    "paused": "Paused.",
    "paused-before": "It was paused before.",
    "resumed": "Resumed.",
    "not-paused": "It was not paused.",
    "limited": "The limit is set.",
    "limit-removed": "The limit of its own is removed.",
    "user-cancelled": "Cancelled: {count} changes; {others} requests were in flight.",
    "change-cancelled": "Cancelled.",
    "change-in-flight": "Not cancelled: it is being sent.",
    "change-ended": "Not cancelled: it had ended.",
    "change-retried": "Enqueued again, as this change.",
    "batch-cancelled": "Cancelled: {count} changes; {others} requests were in flight.",
    "batch-retried": "Enqueued again: {count} changes, as this batch; {others} were refused.",
    "letters-replayed": "Replayed: {count} dead letters; {others} were refused: full lanes, or unreadable payloads.",
    "letters-dropped": "Dropped: {count} dead letters.",
    "no-letters": "No dead letter matches.",
    "nothing-failed": "No failed change is left that could be enqueued again.",
}
"""What a page says after an action, by the code in its address; {count} and {others} are numbers from there."""


def notice_of(request: AnyRequest) -> str | None:
    """Return what a page says of the action that led to it. A code that is not known says nothing."""
    text = NOTICES.get(request.query_params.get("notice", ""))
    return None if text is None else text.format(count=_number(request, "count"), others=_number(request, "others"))


def done(request: AnyRequest, path: str, notice: str, **parameters: Any) -> Redirect:
    """Return to a page, with a notice. A browser that loads it again does not repeat the action."""
    return Redirect(link(request, path, **parameters, notice=notice), status_code=SEE_OTHER)


def confirmation(
    request: AnyRequest, *, question: str, address: str, label: str, fields: Mapping[str, str | None], back: str
) -> Response[bytes]:
    """Return the page that asks before something is destroyed.

    Args:
        request: the call.
        question: what is about to happen, with how many changes.
        address: where the form is sent.
        label: the label of its button.
        fields: the fields of the form.
        back: the address of the page to return to.
    """
    values = {"title": label, "question": question, "address": address, "label": label, "fields": fields, "back": back}
    return render(request, "confirmation.html", values)


def _number(request: AnyRequest, name: str) -> str:
    text = request.query_params.get(name, "0")
    return format_count(int(text)) if text.isascii() and text.isdigit() and len(text) < 16 else "0"  # noqa: PLR2004 - 2**53

"""What actions of the console share: they end on a page that says what was done."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from litestar import Response
from litestar.response import Redirect

from producers.cli.text import format_count
from producers.contract.wording import plural
from producers.gateway.calls.service import AnyRequest
from producers.gateway.console.cookies import Kind, new_cookie, read_cookie
from producers.gateway.console.rendering import link, render

SEE_OTHER: Final = 303

NOTICE_S: Final = 60
"""How long a notice waits for its page."""

_match_notice = re.compile(r"([a-z-]+)\.(\d{1,15})\.(\d{1,15})", re.ASCII).fullmatch


def _cancelled(count: int, in_flight: int) -> str:
    sent = f" {plural(in_flight, 'request')} in flight {'was' if in_flight == 1 else 'were'} not." if in_flight else ""
    return f"Cancelled: {plural(count, 'change')}.{sent}"


def _retried(count: int, refused: int) -> str:
    return f"Enqueued again: {plural(count, 'change')}, as this batch.{_refused(refused)}"


def _replayed(count: int, refused: int) -> str:
    where = " The new changes are on the pages of their users." if count else ""
    return f"Replayed: {plural(count, 'dead letter')}.{_refused(refused)}{where}"


def _refused(count: int) -> str:
    if not count:
        return ""
    return f" {plural(count, 'change')} {'was' if count == 1 else 'were'} refused: full lanes, or unreadable payloads."


def _dropped(count: int, _: int) -> str:
    return f"Dropped: {plural(count, 'dead letter')}."


NOTICES: Final[Mapping[str, str | Callable[[int, int], str]]] = {
    "paused": "Paused.",
    "paused-unused": "Paused. No worker sends through an egress of this name: if one should, check the name.",
    "paused-before": "It was paused before.",
    "resumed": "Resumed.",
    "not-paused": "It was not paused.",
    "limited": "The limit is set.",
    "limit-removed": "The limit of its own is removed.",
    "pinned": "Pinned: its requests leave by that egress only.",
    "pinned-unused": "Pinned. No worker sends through an egress of this name, so its changes wait: check the name.",
    "unpinned": "Unpinned: its requests leave by any egress.",
    "user-cancelled": _cancelled,
    "change-cancelled": "Cancelled.",
    "change-in-flight": "Not cancelled: it is being sent.",
    "change-ended": "Not cancelled: it had ended.",
    "change-retried": "Enqueued again, as this change.",
    "batch-cancelled": _cancelled,
    "batch-retried": _retried,
    "batch-retried-before": "Enqueued again before, as this batch.",
    "letters-replayed": _replayed,
    "letters-dropped": _dropped,
    "no-letters": "No dead letter matches.",
    "nothing-failed": "No failed change is left that could be enqueued again.",
}
"""What a page says after an action, by its code; of some from two numbers, `count` and `others` of `done`."""

GOES_ON: Final = "Once it has begun, it goes on to its end, also if this page is closed."


def notice_of(request: AnyRequest) -> str | None:
    """Return what a page says of the action that led to it."""
    found = _match_notice(read_cookie(request, Kind.NOTICE))
    if found is None or found[1] not in NOTICES:
        return None
    notice = NOTICES[found[1]]
    return notice if isinstance(notice, str) else notice(int(found[2]), int(found[3]))


def done(request: AnyRequest, path: str, notice: str, **parameters: Any) -> Redirect:
    """Lead to a page that says once what was done. A browser that loads it again does not repeat the action.

    The notice is in a cookie: in the address, any link could write one.

    Args:
        request: the call.
        path: the path of the page.
        notice: the code of the notice.
        parameters: the parameters of the page, and the numbers `count` and `others` of the notice.
    """
    count, others = parameters.pop("count", 0), parameters.pop("others", 0)
    cookie = new_cookie(request, Kind.NOTICE, f"{notice}.{count}.{others}", path, NOTICE_S)
    return Redirect(link(request, path, **parameters), status_code=SEE_OTHER, cookies=[cookie])


def keys_warning(count: int) -> str:
    """Return the warning before changes are enqueued again of which some ended for want of valid API keys."""
    if not count:
        return ""
    return (
        f"Ended unauthorized: {format_count(count)} of these. API keys of users were missing, or were rejected by"
        " the exchange. Replace them first (copytrade credentials set, or the workers' credentials file); else these"
        " changes end unauthorized again."
    )


def confirmation(
    request: AnyRequest,
    *,
    question: str,
    address: str,
    label: str,
    fields: Mapping[str, str | None],
    back: str,
    warning: str = "",
    see: str | None = None,
) -> Response[bytes]:
    """Return the page that asks before something is destroyed.

    Args:
        request: the call.
        question: what is about to happen, with how many changes.
        address: where the form is sent.
        label: the label of its button.
        fields: the fields of the form.
        back: the address of the page to return to.
        warning: what to do first; "" for nothing.
        see: the address of the page that shows what the warning is about.
    """
    values = {"title": label, "question": question, "address": address, "label": label, "fields": fields, "back": back}
    return render(request, "confirmation.html", {**values, "warning": warning, "see": see})

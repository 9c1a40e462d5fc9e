"""What a browser sends with a form, or with a link."""

from __future__ import annotations

from urllib.parse import parse_qsl

from producers.errors import InvalidChange
from producers.gateway.calls.bodies import read_body
from producers.gateway.calls.problems import WrongMediaType
from producers.gateway.calls.service import AnyRequest

FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 16_384
MAX_FIELDS = 20


async def read_form(request: AnyRequest) -> dict[str, str]:
    """Return the fields of a form; those that are empty are left out.

    Raises:
        WrongMediaType: the body is no form.
        BodyTooLarge: it is too large.
        InvalidChange: it cannot be read.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != FORM:
        raise WrongMediaType(f"the body must be a form, {FORM}; got {given or 'no Content-Type'}")
    body = await read_body(request, MAX_FORM_BYTES)
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError as exc:
        raise InvalidChange("body", "must be the fields of a form in UTF-8", str(exc)) from exc


def read_number(request: AnyRequest, name: str, most: int) -> int:
    """Return a parameter of the query that is a whole number; 0 if it is absent.

    Raises:
        InvalidChange: it is none, or above `most`.
    """
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise InvalidChange(name, f"must be a whole number up to {most:,}", text)
    return int(text)

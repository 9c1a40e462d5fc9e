"""Errors as problems, RFC 9457: what happened, to which field, by which rule, and what to do."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from producers.cli.json_output import camel_case
from producers.errors import (
    BatchConflict,
    BatchNotFound,
    ChangeConflict,
    DeadLetterNotFound,
    InvalidArgument,
    InvalidChange,
    JobNotFound,
    LaneFull,
    LayoutMismatch,
    ProducerError,
    QueueFull,
    QueueUnavailable,
    Refusal,
    ReplayRefused,
    SettingsError,
    ShardsUnavailable,
)
from producers.gateway.calls.events import Event
from producers.gateway.calls.problem_document import MAX_ROWS_SHOWN, Problem, RowProblem, problem_of, type_of
from producers.gateway.calls.wording import broken_rule, place_and_rule, sentence
from producers.logs import log_fields

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
UNAVAILABLE = "Redis is away, or refuses this now; the log of the gateway says why"
"""What a caller is told. The error itself names addresses and settings."""

PARTLY = (
    "Some shards of the queue are away, or refuse this now; the log of the gateway says which, and why."
    " The others did what this call asks"
)
"""What a caller is told of a call that reaches over all shards."""

REPEAT = "Repeat the call later: with an Idempotency-Key nothing is enqueued twice"

log = logging.getLogger(__name__)


class GatewayError(Exception):
    """A call that is refused by the gateway itself."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotAuthenticated(GatewayError):
    """There is no valid access key."""

    status = HTTPStatus.UNAUTHORIZED


class NotPermitted(GatewayError):
    """The access key does not permit this."""

    status = HTTPStatus.FORBIDDEN


class TooManyCalls(GatewayError):
    """A limit of the gateway or of the access key is reached."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class WrongMediaType(GatewayError):
    """The body has another form than this call takes."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BodyTooLarge(GatewayError):
    """The body, or the number of its items, is above a limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class KeysUnavailable(GatewayError):
    """Redis, which has the access keys, is away. The error is the cause."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class MetricsNotInstalled(GatewayError):
    """The gateway lacks what writes metrics."""

    status = HTTPStatus.NOT_IMPLEMENTED


class InvalidBody(GatewayError):
    """A body that is not the message that this call takes."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, field: str, rule: str, value: object) -> None:
        self.broken = broken_rule(InvalidChange(field, rule, value))
        super().__init__(sentence(**self.broken))


class BadRows(GatewayError):
    """Items of a body cannot be accepted, and nothing was enqueued."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, detail: str, errors: list[RowProblem], *, total: int) -> None:
        super().__init__(detail)
        self.errors = errors[:MAX_ROWS_SHOWN]
        self.left_out = total - len(self.errors)


class LanesFull(BadRows):
    """Nothing was enqueued, and full lanes are a reason: the same call may be accepted later."""

    status = HTTPStatus.TOO_MANY_REQUESTS


STATUS: list[tuple[type[ProducerError], HTTPStatus]] = [
    (InvalidChange, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InvalidArgument, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ChangeConflict, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LaneFull, HTTPStatus.TOO_MANY_REQUESTS),
    (BatchConflict, HTTPStatus.CONFLICT),
    (ReplayRefused, HTTPStatus.CONFLICT),
    (QueueFull, HTTPStatus.SERVICE_UNAVAILABLE),
    (QueueUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (SettingsError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LayoutMismatch, HTTPStatus.SERVICE_UNAVAILABLE),
    (JobNotFound, HTTPStatus.NOT_FOUND),
    (BatchNotFound, HTTPStatus.NOT_FOUND),
    (DeadLetterNotFound, HTTPStatus.NOT_FOUND),
]


def row_problems(refused: Iterable[Refusal]) -> list[RowProblem]:
    """Return the problems of items that were refused."""
    return [
        RowProblem(
            type=type_of(type(refusal.error).__name__),
            index=refusal.index,
            **(broken_rule(refusal.error) or {"rule": str(refusal.error)}),
        )
        for refusal in refused
    ]


def of_producer_error(error: ProducerError, advice: str = REPEAT) -> Problem:
    """Return the problem of an error of the producers' side, with what to do while Redis is away."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    fields = broken_rule(error)
    detail = sentence(**fields) if fields else str(error)
    if isinstance(error, SettingsError):
        detail = UNAVAILABLE
    if isinstance(error, QueueUnavailable):
        detail = f"{PARTLY if isinstance(error, ShardsUnavailable) else UNAVAILABLE}. {advice}"
    return problem_of(type(error).__name__, status, detail, **fields)


def of_gateway_error(error: GatewayError) -> Problem:
    """Return the problem of a call that the gateway refuses."""
    fields: dict[str, Any] = {}
    match error:
        case BadRows():
            fields = {"errors": error.errors, "errors_left_out": error.left_out}
        case InvalidBody():
            fields = error.broken
    return problem_of(type(error).__name__, error.status, str(error), **fields)


def of_http_error(error: HTTPException) -> Problem:
    """Return the problem of an error that the framework found: an unknown path, a wrong method, a parameter."""
    status, detail, fields = HTTPStatus(error.status_code), error.detail, {}
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        first: dict[str, Any] = error.extra[0] if isinstance(error.extra[0], dict) else {}
        _, rule = place_and_rule(str(first.get("message")))
        fields = {"field": camel_case(str(first.get("key"))), "rule": rule}
        detail = sentence(**fields)
    return problem_of(status.name.title().replace("_", ""), status, detail or status.phrase, **fields)


def problem_headers(problem: Problem, *, retry_after_s: float | None = None) -> dict[str, str]:
    """Return the headers of a response that is a problem, besides its media type."""
    headers = {}
    if retry_after_s is None and problem.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        retry_after_s = RETRY_AFTER_S
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def problem_response(problem: Problem, *, retry_after_s: float | None = None) -> Response[bytes]:
    """Return a problem as a response."""
    headers = problem_headers(problem, retry_after_s=retry_after_s)
    return Response(msgspec.json.encode(problem), media_type=MEDIA_TYPE, status_code=problem.status, headers=headers)


def on_producer_error(_: Request[Any, Any, Any], error: ProducerError) -> Response[bytes]:
    """Answer with an error of the producers' side."""
    return problem_response(of_producer_error(error))


def on_gateway_error(_: Request[Any, Any, Any], error: GatewayError) -> Response[bytes]:
    """Answer with a refusal of the gateway."""
    return problem_response(of_gateway_error(error), retry_after_s=error.retry_after_s)


def on_http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer with an error that the framework found."""
    response = problem_response(of_http_error(error))
    response.headers.update({name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"})
    return response


def of_unexpected_error(request: Request[Any, Any, Any], error: Exception) -> Problem:
    """Return the problem of an internal error, of which only the log tells more."""
    extra = log_fields(Event.INTERNAL_ERROR)
    log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error, extra=extra)
    return problem_of("InternalError", HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; the log has it")


def on_unexpected_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer with an internal error."""
    return problem_response(of_unexpected_error(request, error))

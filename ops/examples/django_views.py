"""Django views that enqueue copy-trade settings changes, and show what became of them.

    python django_views.py runserver
    gunicorn --threads 16 django_views:application

Into a project of yours, copy `producer`, `ProducerErrors` and the views, and put them behind your authentication.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

import producers
from producers.sync import Producer

producer = Producer.connect()  # to COPYTRADE_REDIS_DSN, at its first call; threads share it, and it may be forked

STATUS: dict[type[Exception], HTTPStatus] = {
    msgspec.DecodeError: HTTPStatus.BAD_REQUEST,
    producers.InvalidChange: HTTPStatus.UNPROCESSABLE_ENTITY,
    producers.InvalidArgument: HTTPStatus.UNPROCESSABLE_ENTITY,
    producers.BatchRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    producers.JobNotFound: HTTPStatus.NOT_FOUND,
    producers.BatchNotFound: HTTPStatus.NOT_FOUND,
    producers.ChangeConflict: HTTPStatus.CONFLICT,
    producers.BatchConflict: HTTPStatus.CONFLICT,
    producers.LaneFull: HTTPStatus.TOO_MANY_REQUESTS,
    producers.QueueUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


class NewBatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A fan-out. The same one with the same ID again adds only what is missing."""

    batch_id: str
    trader_id: str
    settings: list[producers.CopySetting]
    user_ids: list[str]


class ProducerErrors:
    """A middleware that answers what views raise. An error that is not in the table stays Django's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let a request pass."""
        return self.get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the answer to an error, if there is one."""
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), None)
        if status is None:
            return None
        is_busy = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        return _json({"detail": str(error)}, status, **{"Retry-After": "1"} if is_busy else {})


@require_POST
def enqueue(request: HttpRequest) -> HttpResponse:
    """Enqueue a change. With an Idempotency-Key, the same call again adds nothing."""
    key = request.headers.get("Idempotency-Key")
    job = producer.enqueue(producers.read_change(request.body), job_id=f"web.{key}" if key else None)
    return _json({"jobId": job.job_id}, HTTPStatus.ACCEPTED, Location=reverse(change, args=[job.job_id]))


@require_GET
def change(_: HttpRequest, job_id: str) -> HttpResponse:
    """Return the state of a change, why it waits, and its result."""
    status = producer.job(job_id).status()
    if status.state is producers.JobState.NOT_FOUND:
        raise producers.JobNotFound(f"no change {job_id}")
    return _json({"state": status.state, "wait": status.wait, "result": status.result})


@require_POST
def fan_out(request: HttpRequest) -> HttpResponse:
    """Enqueue a change for each of many users; for none if one of them is invalid."""
    new = msgspec.json.decode(request.body, type=NewBatch)
    batch = producer.fan_out(
        trader_id=new.trader_id,
        settings=new.settings,
        user_ids=new.user_ids,
        batch_id=f"web.{new.batch_id}",
        all_or_nothing=True,
    )
    location = reverse(results, args=[batch.batch_id])
    return _json({"batchId": batch.batch_id}, HTTPStatus.ACCEPTED, Location=location)


@require_GET
def results(request: HttpRequest, batch_id: str) -> StreamingHttpResponse:
    """Stream results as they come, one JSON a line with its cursor; `?after=CURSOR` continues a stream that was cut.

    The last line says `complete`. The stream takes one thread of the server until then.
    """
    batch = producer.batch(batch_id)
    batch.progress()  # an unknown batch is an error now, not in the middle of the answer
    stream = batch.results(after=request.GET.get("after"))

    def lines() -> Iterator[bytes]:
        for result in stream:
            yield msgspec.json.encode({"cursor": stream.cursor, "result": result}) + b"\n"
        yield msgspec.json.encode({"cursor": stream.cursor, "complete": True}) + b"\n"

    return StreamingHttpResponse(lines(), content_type="application/x-ndjson")


def _json(body: dict[str, Any], status: int = HTTPStatus.OK, **headers: str) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(body), content_type="application/json", status=status, headers=headers)


urlpatterns = [
    path("changes", enqueue),
    path("changes/<path:job_id>", change),
    path("batches", fan_out),
    path("batches/<path:batch_id>/results", results),
]
settings.configure(
    ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.ProducerErrors"], ALLOWED_HOSTS=["localhost", "127.0.0.1"]
)
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)

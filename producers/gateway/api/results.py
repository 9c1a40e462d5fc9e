"""The results of a batch: pages, exports, and a stream of events."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from producers import Batch
from producers.cli.export import COLUMNS, csv_row
from producers.contract.access_keys import Scope
from producers.contract.messages import JobResult
from producers.gateway.calls.bodies import CSV, JSON, NDJSON
from producers.gateway.calls.problems import NotAuthenticated
from producers.gateway.calls.service import REVOKED, AnyRequest, Gateway, gateway_of, is_still_admitted, require_id
from producers.gateway.calls.streams import event_stream, while_admitted
from producers.queue.cursors import format_cursor
from producers.queue.results import ResultPage

KEEP_ALIVE_S = 15.0
"""An event stream without news sends a comment this often, so that proxies and readers see that it lives."""

_quality = re.compile(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)").fullmatch

PAGE_SIZE = 1000
MAX_PAGE_SIZE = 10_000

After = Annotated[str | None, QueryParameter(name="after", description="The `cursor` of an earlier page.")]
PageLimit = Annotated[
    int,
    QueryParameter(
        name="limit", ge=1, le=MAX_PAGE_SIZE, description="Results of a JSON page. CSV and NDJSON have all."
    ),
]


class ResultsPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Some results of a batch, in the order in which they came.

    Attributes:
        results: the results.
        cursor: where the next page starts (`after`).
        complete: whether there will be none after these.
    """

    results: list[JobResult]
    cursor: str
    complete: bool


@get("/batches/{batch_id:str}/results", opt={"scope": Scope.READ})
async def results(
    request: AnyRequest, batch_id: FromPath[str], after: After = None, limit: PageLimit = PAGE_SIZE
) -> Response[Any]:
    """Return the results that exist now, after a cursor.

    As JSON a page of up to `limit`; with `Accept: application/x-ndjson` or `text/csv` all of them, as a stream.
    """
    require_id(request, batch_id)
    batch = gateway_of(request).producer.batch(batch_id)
    page = await batch.page(after, limit)
    wanted = accepted_type(request.headers.getall("accept", []), JSON, CSV, NDJSON)
    if wanted != JSON:
        return export(request, batch, page, wanted, is_admitted=is_still_admitted)
    return Response(ResultsPage(results=page.results, cursor=page.cursor, complete=page.complete))


@get("/batches/{batch_id:str}/events", opt={"scope": Scope.READ})
async def events(request: AnyRequest, batch_id: FromPath[str], after: After = None) -> Stream:
    """Stream the results as they come, as server-sent events, until the batch is complete.

    Each event `result` has a result as its data, and a cursor as its `id`: a reader that connects again with the header
    `Last-Event-ID`, as browsers do, misses nothing and gets nothing twice. The last event is `complete`.
    """
    require_id(request, batch_id)
    gateway = gateway_of(request)
    after = request.headers.get("last-event-id", after)
    batch = gateway.producer.batch(batch_id)
    await batch.page(after, 1)  # refuses an unknown batch and a wrong cursor before the stream begins
    return await event_stream(gateway, while_admitted(request, _events(gateway, batch, after)))


def accepted_type(accept: list[str], *offered: str) -> str:
    """Return the media type that a caller prefers, by the values of its header Accept; of those alike the first."""
    found: dict[str, float] = {}
    for part in ",".join(accept).lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        quality = next(filter(None, map(_quality, parameters)), None)
        found[name] = float(quality[1]) if quality else 1.0

    def preference(media_type: str) -> tuple[float, int]:
        names = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)  # the most specific one counts
        return max(((index, found[name]) for index, name in enumerate(names) if name in found), default=(0, 0.0))[::-1]

    return max(offered, key=preference)


def export(
    request: AnyRequest,
    batch: Batch,
    first: ResultPage,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    *,
    is_admitted: Callable[[AnyRequest], Awaitable[bool]],
) -> Stream:
    """Return all results of a batch that exist now, as CSV or NDJSON.

    Args:
        request: the call.
        batch: the batch.
        first: its first page. Reading it has refused an unknown batch before the stream begins.
        media_type: `CSV` or `NDJSON`.
        headers: further headers.
        is_admitted: whether the caller may still have it. If not, the connection breaks.
    """
    content = _export(batch, first, lambda: is_admitted(request), as_csv=media_type == CSV)
    return Stream(content, media_type=media_type, headers=headers)


async def _export(
    batch: Batch, first: ResultPage, is_admitted: Callable[[], Awaitable[bool]], *, as_csv: bool
) -> AsyncIterator[bytes]:
    cursor = first.cursor
    yield _csv([COLUMNS, *map(csv_row, first.results)]) if as_csv else _lines(first.results)
    while await is_admitted():
        page = await batch.page(cursor, PAGE_SIZE)
        if page.results:
            yield _csv(map(csv_row, page.results)) if as_csv else _lines(page.results)
        if page.complete or page.cursor == cursor:
            return
        cursor = page.cursor
    raise NotAuthenticated(REVOKED)


async def _events(gateway: Gateway, batch: Batch, after: str | None) -> AsyncGenerator[bytes, None]:
    yield b": connected\n\n"
    reader = _Reader(batch, after or format_cursor(batch.batch_id, "0-0"))
    while found := await reader.read():
        yield found
    with gateway.feed.following(gateway.producer, batch.batch_id, reader.cursor):
        while not reader.is_complete:
            news = gateway.feed.news(batch.batch_id)
            if found := await reader.read():
                yield found
            elif reader.is_complete:
                break
            elif not await gateway.feed.wait(news, KEEP_ALIVE_S):
                yield b": nothing new\n\n"
    yield _event("complete", reader.cursor, await batch.progress())


class _Reader:
    """Reads the results of a batch as events, up to those that exist now."""

    def __init__(self, batch: Batch, cursor: str) -> None:
        self._batch = batch
        self.cursor = cursor
        self.is_complete = False

    async def read(self) -> bytes:
        """Return the next events; none if there are no further results yet, or none any more."""
        while not self.is_complete:
            page = await self._batch.page(self.cursor, PAGE_SIZE)
            has_moved, self.cursor, self.is_complete = page.cursor != self.cursor, page.cursor, page.complete
            if page.results or not has_moved:
                places = (format_cursor(self._batch.batch_id, position) for position in page.positions)
                return b"".join(_event("result", *pair) for pair in zip(places, page.results, strict=True))
        return b""


def _event(name: str, cursor: str, data: msgspec.Struct) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), cursor.encode(), msgspec.json.encode(data))


def _csv(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _lines(found: list[JobResult]) -> bytes:
    return b"".join(msgspec.json.encode(result) + b"\n" for result in found)


ROUTES = [results, events]

"""What a machine asks that operates the gateway: whether it lives, whether it is ready, and its metrics."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Response, get, head

from producers.contract.access_keys import Scope, digest_of
from producers.gateway.api.operating import require_unbound
from producers.gateway.calls.problems import KeysUnavailable, MetricsNotInstalled
from producers.gateway.calls.reading import MAX_AGE_S, TIMEOUT_S, Reading, read_queue
from producers.gateway.calls.service import AnyRequest, Gateway, authorize, gateway_of
from producers.gateway.serving.call_checks import names_this_machine
from producers.gateway.settings import is_loopback
from producers.monitor.instruments import Family, Gauge
from producers.monitor.queue_metrics import queue_metrics

try:  # not at the first scrape, which it would make 0.1 s longer
    from producers.monitor import exposition
except ImportError:  # without the extra `metrics`
    exposition = None  # type: ignore[assignment]

PROBE_S = 0.02
MAX_LAG_S = 1.0
"""How late a timer may be: a gateway that is later has no time for calls. The worker's limit is the same."""

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""Headers by which proxies tell that a call is another machine's."""


class Readiness(msgspec.Struct, frozen=True):
    """Whether calls should be sent here.

    Attributes:
        ready: whether they should.
        reasons: why not, by what is at fault: "redis", "scripts", "layout" or "event_loop".
        degraded: what does not work in a queue with several shards, such as "shard 2"; absent if all works.
    """

    ready: bool
    reasons: dict[str, str]
    degraded: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


@get("/livez")
async def livez() -> dict[str, str]:
    """Answer that this process serves, whether or not Redis is there."""
    return {"status": "ok"}


@head("/livez", include_in_schema=False)
async def livez_head() -> None:
    """Answer as to GET, without the body: so some probes ask."""


@get("/readyz", include_in_schema=False)
async def readyz(request: AnyRequest) -> Response[Readiness]:
    """Answer whether calls should be sent here; if not, why."""
    reading = await _reading(gateway_of(request))
    reasons = dict(reading.reasons)
    lag_s = await _loop_lag_s()
    if lag_s > MAX_LAG_S:
        reasons["event_loop"] = f"a timer was {lag_s:.1f} s late"
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    answer = Readiness(ready=not reasons, reasons=reasons, degraded=reading.degraded or msgspec.UNSET)
    return Response(answer, status_code=status.value)


@get("/metrics", include_in_schema=False, opt={"scope": Scope.READ})
async def metrics(request: AnyRequest) -> Response[bytes]:
    """Return the metrics of the queue and of this process, in Prometheus's format."""
    if exposition is None:
        raise MetricsNotInstalled("metrics need the extra metrics: pip install '.[gateway,metrics]'")
    if not _is_local(request):
        await _admit_scraper(request)
    gateway = gateway_of(request)
    reading = await _reading(gateway)
    found: list[Family] = [*queue_metrics(reading.overview, reading.memory), *gateway_metrics(gateway)]
    return Response(exposition.exposition(found), media_type=exposition.MEDIA_TYPE)


def gateway_metrics(gateway: Gateway) -> list[Family]:
    """Return the metrics of a gateway process itself."""
    streams = Gauge("copytrade_gateway_streams", "open event streams")
    streams.set(gateway.open_streams)
    return [gateway.times.durations, streams]


async def _reading(gateway: Gateway) -> Reading:
    async def read(_: str) -> Reading:
        return await read_queue(gateway.producer)

    found = await gateway.readings.get("queue", read, MAX_AGE_S)
    assert found is not None  # noqa: S101 - `read` returns one
    return found


async def _loop_lag_s() -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await asyncio.sleep(PROBE_S)
    return loop.time() - began_s - PROBE_S


def _is_local(request: AnyRequest) -> bool:
    """Return whether a program of this machine calls, and none that passes on calls of others and says so."""
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and names_this_machine(request.headers.get("host", ""))
        and not any(name in request.headers for name in FORWARDED)
    )


async def _admit_scraper(request: AnyRequest) -> None:
    """Admit a call with an access key that reads and is bound to nobody.

    While Redis, which has the keys, is away, those count with which metrics were read before: that it is away is what
    they have to show.

    Raises:
        NotAuthenticated: there is no valid key.
        NotPermitted: it may not read, or is bound to users or traders.
        KeysUnavailable: Redis is away, and the key has not been seen before.
    """
    known = gateway_of(request).scrapers
    digest = digest_of(request.headers.get("authorization", ""))
    was_known = digest in known
    known.discard(digest)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await authorize(request)
        require_unbound(request)
    except (KeysUnavailable, TimeoutError) as exc:
        if not was_known:
            raise KeysUnavailable("access keys cannot be checked now; call again later") from exc
    known.add(digest)


ROUTES: list[Any] = [livez, livez_head, readyz, metrics]

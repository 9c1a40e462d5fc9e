"""How long calls take, by route."""

from __future__ import annotations

from collections.abc import Callable

from litestar.types import HTTPScope, Message, Send

from producers.monitor.instruments import Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
LABELS = ("method", "route", "status")
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0)
"""A `POST /v1/changes` takes some 2 ms, a call that waits for a result up to a minute. Each route has all of them."""

UNROUTED = "unrouted"
"""The route of calls that lead to none: whatever they ask for, they are one series."""


class RequestTimes:
    """The durations of the calls of one process, until their answers begin: a slow reader is not the gateway's time.

    Attributes:
        durations: the metric.

    Args:
        clock: returns seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.durations = Histogram(
            "copytrade_gateway_request_duration_seconds", "from a call to its answer", BOUNDS_S, *LABELS
        )

    def timed(self, scope: HTTPScope, send: Send) -> Send:
        """Return what sends the answer to a call, and notes how long the call has taken when the answer begins."""
        began_s = self._clock()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
                route = scope.get("path_template", UNROUTED)
                self.durations.observe(self._clock() - began_s, method, route, f"{message['status'] // 100}xx")
            await send(message)

        return sending

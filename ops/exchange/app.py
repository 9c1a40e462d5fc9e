"""The double's HTTP server: the only module here with network I/O.

    arrival -> admit (limits) -> select faults -> read the body -> evaluate -> reply, or the fault's effect

The handler calls `admit` before its first await, so the windows count arrivals in order. A request is applied when its
body is complete; a latency fault delays only the reply.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Self

from aiohttp import web

from ops.exchange.accounts import Account, Accounts
from ops.exchange.clock import Clock
from ops.exchange.control import PREFIX, Control
from ops.exchange.faults import APPLIED, HANG, OUTAGE, STALE, STALE_MS, Fault, Faults, Page, Selection, reply_for
from ops.exchange.fields import decode_json, summarize
from ops.exchange.ledger import Arrival, Ledger
from ops.exchange.rules import Exchange, Request
from ops.exchange.verdicts import THROTTLED, Verdict, encode_reply
from ops.exchange.wire import ABORT, HTML, JSON, WireReply, rewrite, send

CLOSING_GRACE_S = 0.2
"""How long `close` waits for requests in progress."""

OFFLINE_DELAY_S = 0.02
"""Time for the reply to the control request, before all connections are closed."""


class ExchangeDouble:
    """A server that behaves as the exchange does, and records all requests.

        async with ExchangeDouble(accounts, faults=[Fault("http_500", first=2)]) as double:
            ...  # requests to double.url
        double.ledger.report()

    Args:
        accounts: the users and their API keys.
        user_rate_per_s: maximum arrivals of a user at an endpoint in any sliding second.
        egress_per_min: maximum arrivals of a remote IP in any sliding minute.
        egress_recovery_s: how long an IP is blocked after a breach, seconds.
        faults: the initial faults.
        seed: seed of the faults' random numbers.
        listen: address and port; port 0 picks a free one.
        clock: the source of time.

    Attributes:
        ledger: the arrivals and their report.
        faults: the active faults; may be changed at any time.
        exchange: the rules and the stored settings (`exchange.settings_for(user)`).
        clock: the source of time; `clock.skew_ms` may be changed at any time.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        user_rate_per_s: int = 10,
        egress_per_min: int = 6000,
        egress_recovery_s: float = 300,
        faults: Iterable[Fault] = (),
        seed: int = 1,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        clock: Clock | None = None,
    ) -> None:
        self.exchange = Exchange(
            accounts,
            user_rate_per_s=user_rate_per_s,
            egress_per_min=egress_per_min,
            egress_recovery_s=egress_recovery_s,
        )
        self.faults = Faults(faults, rng=random.Random(seed))
        self.ledger = Ledger()
        self.clock = clock or Clock()
        self._control = Control(self.ledger, self.faults, self.exchange, self.clock, self._go_offline)
        self._listen = listen
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._offline_task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Its address, such as "http://127.0.0.1:40123".

        Raises:
            RuntimeError: it is not started.
        """
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the exchange double is not started: await start(), or use it with `async with`")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        """Start listening.

        Raises:
            OSError: the address is not available.
        """
        # The signature covers the bytes on the wire, so bodies stay compressed until it is verified.
        server = web.Server(self._handle, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSING_GRACE_S)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, *self._listen)
        await self._site.start()

    async def close(self) -> None:
        """Stop listening and close all connections. The ledger stays readable. Idempotent."""
        if self._offline_task is not None:
            self._offline_task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        at_ns = self.clock.monotonic_ns()
        target = request.raw_path
        if target.startswith(PREFIX):
            status, body = self._control.handle(request.method, target, await request.read())
            return web.Response(status=status, headers=JSON, body=body)
        received = Request(request.method, target, request.headers, b"")
        account, within_limits = self.exchange.admit(at_ns, request.remote or "", received)
        arrival = self.ledger.record_arrival(at_ns, account.user if account else "", received.method, received.path)
        selected = self.faults.select(arrival.user, within_limits=within_limits)
        arrival.throttled = not within_limits
        arrival.remote = request.remote or ""
        arrival.fault = selected.kind
        try:
            received = received._replace(body=await request.read())
            arrival.trader, arrival.values = summarize(decode_json(received.body))
            reply = await self._answer(received, account, arrival, selected)
            arrival.status = reply.status
        except web.HTTPException as error:  # the body is larger than aiohttp allows
            arrival.status = error.status
            raise
        except ConnectionError:  # the client disconnected before its body was complete
            reply = ABORT
        finally:
            arrival.answered_ns = self.clock.monotonic_ns()
            arrival.disconnected = request.transport is None
            self.ledger.record_reply(arrival)
        return await send(request, reply)

    def _go_offline(self, ms: float) -> None:
        if self._offline_task is None or self._offline_task.done():
            self._offline_task = asyncio.create_task(self._refuse_connections(ms))

    async def _refuse_connections(self, ms: float) -> None:
        """Refuse connections for `ms`, as an exchange that is down: close the listening socket and all connections."""
        if self._runner is None or self._site is None or self._runner.server is None:
            return
        _, port = self._runner.addresses[0][:2]
        await asyncio.sleep(OFFLINE_DELAY_S)
        await self._site.stop()
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(ms / 1000)
        self._site = web.TCPSite(self._runner, self._listen[0], port)
        await self._site.start()

    async def _answer(
        self, received: Request, account: Account | None, arrival: Arrival, selected: Selection
    ) -> WireReply:
        fault = selected.fault
        content: Verdict | Page
        if fault is not None and fault.kind == OUTAGE:
            content = reply_for(fault)
        elif arrival.throttled:
            content = THROTTLED
        elif fault is not None and fault.kind not in APPLIED:
            content = reply_for(fault)
        else:
            content = self.exchange.evaluate(received, account, self.clock.now_ms())
            arrival.accepted = content.is_success
        if isinstance(content, Verdict):
            arrival.code = content.code
        if delay_ms := selected.delay_ms + (fault.ms if fault is not None and fault.kind == HANG else 0):
            await asyncio.sleep(delay_ms / 1000)
        if isinstance(content, Page):
            return WireReply(content.status, HTML, content.html.encode())
        now_ms = self.clock.now_ms()
        written_ms = now_ms - round(fault.ms or STALE_MS) if fault is not None and fault.kind == STALE else now_ms
        wait = {"Retry-After": fault.retry_after} if fault is not None and fault.retry_after is not None else {}
        return rewrite(fault, WireReply(content.status, {**JSON, **wait}, encode_reply(content, written_ms)), now_ms)

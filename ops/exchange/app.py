"""The double on the network: the only module here that has any.

    arrive -> admit (limits) -> draw faults -> read the body -> judge -> reply, or what a fault makes of it

`admit` runs before the first await of the handler, so the windows see the arrivals in their order. A request is
applied when its body is there; latency delays only the reply.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from aiohttp import web

from ops.exchange.accounts import Account, Accounts
from ops.exchange.clock import Clock
from ops.exchange.control import PREFIX, Control
from ops.exchange.faults import HANG, HIDING, OUTAGE, Fault, Faults, Page, Strike, answer
from ops.exchange.fields import glimpse, read
from ops.exchange.ledger import Arrival, Ledger
from ops.exchange.rules import Call, Exchange
from ops.exchange.verdicts import THROTTLED, Verdict, envelope

CLOSING_GRACE_S = 0.2
"""How long `close` waits for replies that are on their way."""

AWAY_AFTER_S = 0.02
"""Leaves the time to answer the one who sends it away."""

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}


class _Reply(NamedTuple):
    """What goes over the wire: status 0 aborts the connection, `cut` ends it in the middle of the body."""

    status: int
    headers: Mapping[str, str] = JSON
    body: bytes = b""
    cut: bool = False


ABORT = _Reply(0)


class ExchangeDouble:
    """A server that behaves as the exchange does, and records what it is asked.

        async with ExchangeDouble(accounts, faults=[Fault("http_500", first=2)]) as double:
            ...  # requests to double.url
        double.ledger.report()

    Args:
        accounts: who may ask.
        user_rate_per_s: most arrivals of one user at one endpoint in any sliding second.
        egress_per_min: most arrivals of one remote IP in any sliding minute.
        egress_recovery_s: how long an IP that breached its limit is refused everything, seconds.
        faults: what goes wrong to begin with.
        seed: of the random numbers behind the faults.
        listen: address and port; port 0 takes a free one.
        clock: where the times come from.

    Attributes:
        ledger: the arrivals and their report.
        faults: the faults in force; may be changed at any time.
        exchange: the rules, and the settings they keep (`exchange.settings_of(user)`).
        clock: as given; `clock.skew_ms` may be changed at any time.
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
        self._control = Control(self.ledger, self.faults, self.exchange, self.clock, self._leave)
        self._listen = listen
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._absence: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, such as "http://127.0.0.1:40123".

        Raises:
            RuntimeError: it does not listen.
        """
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the exchange double does not listen: await start(), or use it with `async with`")
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        # The signature is over the bytes on the wire, so nothing may be decompressed before it is verified.
        server = web.Server(self._handle, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSING_GRACE_S)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, *self._listen)
        await self._site.start()

    async def close(self) -> None:
        """Stop listening and end all connections. The ledger stays readable. Safe to repeat."""
        if self._absence is not None:
            self._absence.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        at_ns = self.clock.rising_ns()
        target = request.raw_path
        if target.startswith(PREFIX):
            status, body = self._control.answer(request.method, target, await request.read())
            return web.Response(status=status, headers=JSON, body=body)
        call = Call(request.method, target, request.headers, b"")
        account, within_limits = self.exchange.admit(at_ns, request.remote or "", call)
        arrival = self.ledger.open(at_ns, account.user if account else "", call.method, call.path)
        strike = self.faults.draw(arrival.user, within_limits=within_limits)
        arrival.throttled = not within_limits
        arrival.fault = strike.kind
        try:
            call = call._replace(body=await request.read())
            arrival.trader, arrival.values = glimpse(read(call.body))
            reply = await self._answer(call, account, arrival, strike)
            arrival.status = reply.status
        except web.HTTPException as error:  # the body is larger than aiohttp takes
            arrival.status = error.status
            raise
        except ConnectionError:  # the client left before its body was here
            reply = ABORT
        finally:
            arrival.answered_ns = self.clock.rising_ns()
            self.ledger.close(arrival)
        return await _send(request, reply)

    def _leave(self, ms: float) -> None:
        if self._absence is None or self._absence.done():
            self._absence = asyncio.create_task(self._be_away(ms))

    async def _be_away(self, ms: float) -> None:
        """Nobody listens, as while the exchange is down: connections are refused, not only aborted."""
        if self._runner is None or self._site is None or self._runner.server is None:
            return
        _, port = self._runner.addresses[0][:2]
        await asyncio.sleep(AWAY_AFTER_S)
        await self._site.stop()
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(ms / 1000)
        self._site = web.TCPSite(self._runner, self._listen[0], port)
        await self._site.start()

    async def _answer(self, call: Call, account: Account | None, arrival: Arrival, strike: Strike) -> _Reply:
        fault = strike.fault
        content: Verdict | Page
        if fault is not None and fault.kind == OUTAGE:
            content = answer(fault)
        elif arrival.throttled:
            content = THROTTLED
        elif fault is not None and fault.kind not in HIDING:
            content = answer(fault)
        else:
            content = self.exchange.judge(call, account, self.clock.now_ms())
            arrival.accepted = content.succeeded
        if isinstance(content, Verdict):
            arrival.code = content.code
        if delay_ms := strike.delay_ms + (fault.ms if fault is not None and fault.kind == HANG else 0):
            await asyncio.sleep(delay_ms / 1000)
        if isinstance(content, Page):
            return _Reply(content.status, HTML, content.html.encode())
        return _hidden(fault, _Reply(content.status, JSON, envelope(content, self.clock.now_ms())))


def _hidden(fault: Fault | None, reply: _Reply) -> _Reply:
    match fault.kind if fault is not None else None:
        case "empty":
            return _Reply(200)
        case "cut":
            return reply._replace(cut=True)
        case "reset_after":
            return ABORT
        case _:
            return reply


async def _send(request: web.BaseRequest, reply: _Reply) -> web.StreamResponse:
    if reply.status == 0:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # aiohttp wants one; there is no connection left to write it to
    if not reply.cut:
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response

"""Attempts whose clock, keys, session, exchange and settler belong to the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from producers.contract.codec import encode_change
from tests.support import claims
from tests.support.changes import change
from tests.support.manual_clock import ManualClock
from worker.attempt.attempt import AttemptRunner
from worker.credentials.model import Credentials
from worker.errors import NotSent, TransportError, UnknownUser
from worker.exchange.client import ExchangeClient, RawReply
from worker.exchange.clock import ExchangeClock
from worker.metrics import WorkerMetrics
from worker.queue.claims import Claim, Finish, Settled, Settlement, Stored
from worker.queue.session import Session
from worker.queue.settle import Settler
from worker.secret import Secret
from worker.settings import WorkerSettings

SETTINGS = WorkerSettings()
LATE_FOR_S = SETTINGS.connect_timeout_s + SETTINGS.request_timeout_s
KEYS = Credentials(user_id="1001", api_key=Secret("key"), secret_key=Secret("hush"), passphrase=Secret("pass"))
GRANTED = b'{"code":"00000","msg":"success","requestTime":1790000000000,"data":"success"}'


class Bench:
    """A runner whose clock, keys, exchange and settler belong to the test."""

    def __init__(self, *answers: RawReply | TransportError) -> None:
        self.clock = ManualClock()
        self.answers = list(answers)
        self.sent: list[tuple[bytes, dict[str, str]]] = []
        self.settlements: list[Settlement] = []
        self.known = True
        self.keys_error: Exception | None = None
        self.metrics = WorkerMetrics()
        self.connected: Callable[[], object] = bool
        self.answers_at_once = True
        self.under_way = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.trusted = {"w"}
        self.abandoned: list[str] = []
        self.settling, self.may_settle = asyncio.Event(), asyncio.Event()
        self.may_settle.set()
        self.on_lost: Callable[[], object] = bool
        self.attempt_runner = AttemptRunner(
            clock=self.clock,
            exchange=cast("ExchangeClient", self),
            exchange_clock=ExchangeClock(self.clock),
            credentials=self,
            settler=cast("Settler", self),
            session=cast("Session", self),
            settings=SETTINGS,
            metrics=self.metrics,
        )

    async def get(self, user_id: str) -> Credentials:
        """Return the credentials of a user."""
        if self.keys_error is not None:
            raise self.keys_error
        if not self.known:
            raise UnknownUser(user_id, source="nowhere", remedy="add them")
        return KEYS

    async def post(self, _path: str, body: bytes, signed: dict[str, str], *, may_send: Callable[[], bool]) -> RawReply:
        """Answer half a second later, or when the test says so."""
        self.connected()
        if not may_send():
            raise NotSent("not sent")
        self.sent.append((body, signed))
        if not self.answers_at_once:
            self.under_way.set()
            await self.may_answer.wait()
        self.clock.advance(0.5)
        answer = self.answers.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    def settled(self, claim: Claim) -> None:
        """Take note of a settlement, as a session does."""

    def abandon(self, session_id: str) -> None:
        """Take note of a session that is given up."""
        self.abandoned.append(session_id)

    def is_trusted(self, session_id: str) -> bool:
        """Return whether a session is trusted."""
        return session_id in self.trusted

    async def settle(self, settlement: Settlement) -> Settled:
        """Record a settlement, when the test lets it be written."""
        self.settling.set()
        await self.may_settle.wait()
        self.settlements.append(settlement)
        return Settled(fenced=False, finished=int(isinstance(settlement, Finish)))

    def claim(self, *, slot_in_s: float = 0, **changed: Any) -> Claim:
        """Return a claim of a valid change, just made."""
        now_s = self.clock.monotonic()
        payload = encode_change(change(), enqueued_at_ms=self.clock.now_ms, ttl_ms=60_000)
        fields: dict[str, Any] = {"slot_at_s": now_s + slot_in_s, "stored": Stored(payload)}
        fields |= {"redis_clock_offset_ms": self.clock.now_ms - now_s * 1000}
        return claims.claim(**(fields | changed))

    async def apply(self, claim: Claim) -> Settlement:
        """Run one attempt; return its settlement."""
        await self.attempt_runner.run(claim)
        (only,) = self.settlements
        return only


def granted() -> RawReply:
    return RawReply(200, GRANTED, 0.4)

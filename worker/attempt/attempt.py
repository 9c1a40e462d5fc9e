"""One attempt at a change: credentials, body, wait, sign, send, classify. All decisions are made in `decide`."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from producers.contract.messages import Attempt, Outcome
from producers.queue.waits import CREDENTIALS
from worker.attempt.decide import (
    ReadyAttempt,
    blocked_by_rejected_keys,
    decide,
    finish_unsent,
    release_unsent,
    validate_claim,
    why_unsent,
)
from worker.attempt.key_lookup import KeyLookup
from worker.attempt.log import log_attempt, log_proxy_failure, log_sending
from worker.attempt.observation import AttemptObserver
from worker.attempt.retry import AMBIGUOUS, verdict_of, verdict_of_reply
from worker.clock import Clock
from worker.credentials.model import Credentials, CredentialStore
from worker.errors import Aborted, CredentialsUnavailable, NotSent, ProxyFailed, TransportError, UnknownUser
from worker.exchange.client import ExchangeClient, RawReply
from worker.exchange.clock import ExchangeClock
from worker.exchange.endpoint import METHOD, SETTINGS_PATH, encode_body
from worker.exchange.redaction import redact
from worker.exchange.replies import Reply, ReplyClass, classify
from worker.exchange.retry_after import parse_retry_after
from worker.exchange.signing import SignedHeaders, headers
from worker.logs import Event, log_fields
from worker.metrics import WorkerMetrics
from worker.queue.claims import Claim, Finish, SentRequest, Settled, Settlement
from worker.queue.session import Session
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

CREDENTIALS_RETRY_S = 2.0
"""Delay before the next attempt at a change whose user's keys are not available now."""

UNEXPECTED_RETRY_S = 5.0
"""Delay before the next attempt after an unexpected error, which the next one probably meets too."""

STALE_REPLY = "the reply's requestTime lies before the request was sent, so it is the reply to another request"


log = logging.getLogger(__name__)


class AttemptRunner:
    """Runs attempts, each from a claim to its settlement."""

    def __init__(
        self,
        *,
        clock: Clock,
        exchange: ExchangeClient,
        exchange_clock: ExchangeClock,
        credentials: CredentialStore,
        settler: Settler,
        session: Session,
        settings: WorkerSettings,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        metrics = metrics or WorkerMetrics()
        self._egress = settings.egress
        self._observer = AttemptObserver(metrics, settings.egress)
        self._clock = clock
        self._exchange = exchange
        self._exchange_clock = exchange_clock
        self._keys = KeyLookup(credentials, metrics)
        self._settler = settler
        self._session = session
        session.on_lost = self.abort
        self._sending: dict[asyncio.Task[object], Claim] = {}
        self._request_timeout_s = settings.request_timeout_s
        # It is written when it has a connection, and may then be applied for as long as a request takes.
        self._late_for_s = settings.connect_timeout_s + settings.request_timeout_s
        self._max_tries = settings.max_tries
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Release claims that still wait for their slot; requests that were sent are completed."""
        self._stopping.set()

    def abort(self) -> None:
        """Give up the requests under way of a session that has ended: other workers take their lanes."""
        for task, claim in list(self._sending.items()):
            if not self._session.is_trusted(claim.session_id):
                del self._sending[task]
                task.cancel()

    async def run(self, claim: Claim) -> Settled:
        """Attempt a claim and settle it. If that is not possible, the claim's session ends, unless the worker stops."""
        try:
            settlement, settled = await self._settle(claim)
        except BaseException:
            if not self._stopping.is_set():
                self._session.abandon(claim.session_id)
            raise
        self._session.settled(claim)
        self._observer.observe_settlement(settlement, settled)
        log_attempt(settlement, settled, self._egress)
        return settled

    async def _settle(self, claim: Claim) -> tuple[Settlement, Settled]:
        try:
            settlement = await self._attempt(claim)
            return settlement, await self._settler.settle(settlement)
        except Exception:
            extra = log_fields(Event.ATTEMPT_ERROR, lane=claim.lane, job=claim.job_id)
            log.exception("lane %s: unexpected error; it is attempted again", claim.lane, extra=extra)
            settlement = self._unexpected(claim)
            return settlement, await self._settler.settle(settlement)

    def _unexpected(self, claim: Claim) -> Settlement:
        """Return the settlement of an attempt that broke: whether its request was sent is not known."""
        now_s = self._clock.monotonic()
        attempt = Attempt(at_ms=claim.redis_ms(now_s), took_ms=0, verdict=AMBIGUOUS, message="unexpected error")
        request = SentRequest(attempt, now_s, None, late_until_s=now_s + self._late_for_s, was_aborted=True)
        return msgspec.structs.replace(release_unsent(claim, delay_s=UNEXPECTED_RETRY_S), request=request)

    async def _attempt(self, claim: Claim) -> Settlement:
        ready = validate_claim(claim, self._redis_ms(claim))
        if isinstance(ready, Finish):
            return ready
        change = ready.request.change
        try:
            credentials = await self._keys.get(change.user_id, refresh=claim.rejected_keys_mark is not None)
        except UnknownUser as exc:
            reason = why_unsent(claim, f"not sent: {exc}")
            return finish_unsent(ready, Outcome.UNAUTHORIZED, reason, self._redis_ms(claim))
        except CredentialsUnavailable as exc:
            reason = f"not sent: {exc}"
            return release_unsent(claim, delay_s=CREDENTIALS_RETRY_S, reason=reason, waits_for=CREDENTIALS)
        if claim.rejected_keys_mark is not None:
            blocked = blocked_by_rejected_keys(ready, credentials.fingerprint, self._redis_ms(claim))
            if blocked is not None:
                return blocked
        body = encode_body(change)
        if not await self._wait_for_slot(claim) or not self._session.is_trusted(claim.session_id):
            return release_unsent(claim)
        return await self._send(ready, credentials, body)

    def _redis_ms(self, claim: Claim) -> int:
        return claim.redis_ms(self._clock.monotonic())

    async def _wait_for_slot(self, claim: Claim) -> bool:
        """Sleep until the slot; return False if the worker is stopped first."""
        wait_s = claim.slot_at_s - self._clock.monotonic()
        if wait_s <= 0:
            return not self._stopping.is_set()
        try:
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _send(self, ready: ReadyAttempt, credentials: Credentials, body: bytes) -> Settlement:
        """Sign the body at the moment of sending, send these very bytes, and decide by the reply."""
        clock, claim = self._clock, ready.claim
        signed = headers(credentials, self._exchange_clock.now_ms(), METHOD, SETTINGS_PATH, body)
        log_sending(claim, self._egress)
        sent_s = clock.monotonic()
        round_trip_s, status, code, retry_after_s = None, None, None, None
        was_aborted = is_egress_fault = False
        try:
            raw = await self._post(claim, body, signed)
        except NotSent as exc:
            return release_unsent(claim, reason=str(exc))
        except TransportError as exc:
            ended_s = clock.monotonic()
            verdict, message = verdict_of(exc), str(exc)
            was_aborted, is_egress_fault = isinstance(exc, Aborted), isinstance(exc, ProxyFailed)
            if is_egress_fault:
                log_proxy_failure(message, self._egress)
            self._observer.observe_failure(exc)
        else:
            ended_s = clock.monotonic()
            reply = redact(classify(raw.status, raw.body, raw.charset), credentials, signed)
            is_stale = self._sync_clock(reply, ended_s - raw.took_s, ended_s)
            verdict, message = verdict_of_reply(reply.reply_class, is_stale=is_stale), STALE_REPLY
            self._observer.observe_reply(verdict, reply.code, raw.took_s)
            if verdict != AMBIGUOUS:
                round_trip_s, status, code, message = raw.took_s, reply.status, reply.code, reply.message
                retry_after_s = parse_retry_after(raw.retry_after, self._exchange_clock.now_ms())
        attempt = Attempt(
            at_ms=claim.redis_ms(sent_s),
            took_ms=round((ended_s - sent_s) * 1000),
            verdict=verdict,
            status=status,
            code=code,
            message=message,
        )
        replaced = verdict == ReplyClass.CREDENTIALS and await self._keys.have_changed(credentials)
        late_until_s = sent_s + self._late_for_s if verdict == AMBIGUOUS else 0.0
        sent = SentRequest(
            attempt,
            ended_s,
            round_trip_s,
            credentials.fingerprint if verdict == ReplyClass.CREDENTIALS else "",
            replaced,
            retry_after_s,
            late_until_s=late_until_s,
            was_aborted=was_aborted,
            is_egress_fault=is_egress_fault,
        )
        return decide(ready, sent, now_ms=claim.redis_ms(ended_s), max_tries=self._max_tries)

    async def _post(self, claim: Claim, body: bytes, signed: SignedHeaders) -> RawReply:
        """Send a request, which `abort` may give up.

        Raises:
            Aborted: it was given up.
            NotSent: the session had ended before.
            TransportError: there is no readable reply.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is sent by a task")
        self._sending[task] = claim
        cancellations = task.cancelling()
        try:
            return await self._exchange.post(
                SETTINGS_PATH, body, signed, may_send=lambda: self._session.is_trusted(claim.session_id)
            )
        except asyncio.CancelledError:
            # Not told by a message of the cancellation: it is lost if a time-out cancels the same wait first.
            is_given_up = task not in self._sending
            if not is_given_up or task.uncancel() > cancellations:
                raise
            raise Aborted("given up: the worker's session ended while the request was under way") from None
        finally:
            self._sending.pop(task, None)

    def _sync_clock(self, reply: Reply, sent_s: float, ended_s: float) -> bool:
        """Update the exchange's time from a reply; return whether the reply is older than its request."""
        is_skewed = reply.reply_class is ReplyClass.CLOCK_SKEW
        if is_skewed:
            self._exchange_clock.reset()
        if reply.request_time_ms is None:
            return False
        clock, time_ms = self._exchange_clock, reply.request_time_ms
        return not clock.add_sample(sent_s, ended_s, time_ms, corrects_wall_clock=is_skewed)

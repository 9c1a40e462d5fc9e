"""One attempt at a change: credentials, body, wait, sign, send, classify. All decisions are made in `decide`."""

from __future__ import annotations

import asyncio

from producers.contract.messages import Attempt, Outcome
from worker.attempt.decide import (
    ReadyAttempt,
    blocked_by_rejected_keys,
    decide,
    finish_unsent,
    release_unsent,
    validate_claim,
)
from worker.attempt.log import log_attempt
from worker.attempt.retry import AMBIGUOUS, verdict_of, verdict_of_reply
from worker.clock import Clock
from worker.credentials.model import Credentials, CredentialStore, Invalidatable
from worker.errors import CredentialsUnavailable, SendDeadlinePassed, TransportError, UnknownUser
from worker.exchange.client import ExchangeClient
from worker.exchange.clock import ExchangeClock
from worker.exchange.endpoint import METHOD, SETTINGS_PATH, encode_body
from worker.exchange.redaction import redact
from worker.exchange.replies import Reply, ReplyClass, classify
from worker.exchange.retry_after import parse_retry_after
from worker.exchange.signing import headers
from worker.queue.claims import Claim, Finish, SentRequest, Settled, Settlement
from worker.queue.lease import Heartbeat
from worker.queue.settle import Settler
from worker.settings import WorkerSettings

CREDENTIALS_WAIT_S = 5.0
"""Limit for a reply of the source of credentials. A vault normally answers in milliseconds, so a slower one is down."""

CREDENTIALS_RETRY_S = 2.0
"""Delay before the next attempt at a change whose user's keys are not available now."""

STALE_REPLY = "the reply's requestTime lies before the request was sent, so it is the reply to another request"


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
        heartbeat: Heartbeat,
        settings: WorkerSettings,
    ) -> None:
        self._egress = settings.egress
        self._clock = clock
        self._exchange = exchange
        self._exchange_clock = exchange_clock
        self._credentials = credentials
        self._settler = settler
        self._heartbeat = heartbeat
        self._request_timeout_s = settings.request_timeout_s
        # It is written when it has a connection, and may then be applied for as long as a request takes.
        self._late_for_s = settings.connect_timeout_s + settings.request_timeout_s
        self._max_tries = settings.max_tries
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Release claims that still wait for their slot; requests that were sent are completed."""
        self._stopping.set()

    def hold_lease(self, claim: Claim) -> None:
        """Renew a claim's lease before its attempt begins."""
        self._heartbeat.hold(claim)

    async def run(self, claim: Claim) -> Settled:
        """Attempt a claim and settle it, renewing its lease meanwhile."""
        self._heartbeat.hold(claim)
        try:
            settlement = await self._attempt(claim)
            settled = await self._settler.settle(settlement)
        finally:
            self._heartbeat.release(claim)
        log_attempt(settlement, settled, self._egress)
        return settled

    async def _attempt(self, claim: Claim) -> Settlement:
        ready = validate_claim(claim, self._redis_ms(claim))
        if isinstance(ready, Finish):
            return ready
        change = ready.request.change
        try:
            credentials = await self._credentials_for(change.user_id, refresh=claim.rejected_keys_mark is not None)
        except UnknownUser as exc:
            return finish_unsent(ready, Outcome.UNAUTHORIZED, self._redis_ms(claim), f"not sent: {exc}")
        except (CredentialsUnavailable, TimeoutError) as exc:
            reason = str(exc) or f"the source of credentials did not answer within {CREDENTIALS_WAIT_S:g} s"
            return release_unsent(claim, delay_s=CREDENTIALS_RETRY_S, reason=f"not sent: {reason}")
        blocked = blocked_by_rejected_keys(ready, credentials.fingerprint, self._redis_ms(claim))
        if blocked is not None:
            return blocked
        body = encode_body(change)
        if not await self._wait_for_slot(claim) or not self._lease_covers_send(claim):
            return release_unsent(claim)
        return await self._send(ready, credentials, body)

    def _redis_ms(self, claim: Claim) -> int:
        return claim.redis_ms(self._clock.monotonic())

    async def _credentials_for(self, user_id: str, *, refresh: bool) -> Credentials:
        """Return a user's keys; with `refresh`, bypass the cache, since the user may have replaced them."""
        if refresh and isinstance(self._credentials, Invalidatable):
            self._credentials.invalidate(user_id)
        async with asyncio.timeout(CREDENTIALS_WAIT_S):
            return await self._credentials.get(user_id)

    async def _credentials_changed(self, credentials: Credentials) -> bool:
        """Return whether the user's keys differ from those that were just rejected; False if they are unavailable."""
        try:
            current = await self._credentials_for(credentials.user_id, refresh=True)
        except (UnknownUser, CredentialsUnavailable, TimeoutError):
            return False
        return current.fingerprint != credentials.fingerprint

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

    def _lease_covers_send(self, claim: Claim) -> bool:
        """Return whether a request sent now would end before the lease and the claim of its slot do."""
        return self._clock.monotonic() < self._latest_send_s(claim)

    def _latest_send_s(self, claim: Claim) -> float:
        """Return the latest time to send a request that ends within its lease.

        Renewing extends the lease of the lane only: the bucket counts a slot as in flight for one lease from its time.
        """
        return min(claim.lease_until_s, self._heartbeat.lease_until_s(claim)) - self._request_timeout_s

    async def _send(self, ready: ReadyAttempt, credentials: Credentials, body: bytes) -> Settlement:
        """Sign the body at the moment of sending, send these very bytes, and decide by the reply."""
        clock, claim = self._clock, ready.claim
        signed = headers(credentials, self._exchange_clock.now_ms(), METHOD, SETTINGS_PATH, body)
        sent_s = clock.monotonic()
        round_trip_s, status, code, retry_after_s = None, None, None, None
        try:
            raw = await self._exchange.post(SETTINGS_PATH, body, signed, not_after_s=self._latest_send_s(claim))
        except SendDeadlinePassed as exc:
            return release_unsent(claim, reason=str(exc))
        except TransportError as exc:
            ended_s = clock.monotonic()
            verdict, message = verdict_of(exc), str(exc)
        else:
            ended_s = clock.monotonic()
            reply = redact(classify(raw.status, raw.body, raw.charset), credentials, signed)
            is_stale = self._sync_clock(reply, ended_s - raw.took_s, ended_s)
            verdict, message = verdict_of_reply(reply.reply_class, is_stale=is_stale), STALE_REPLY
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
        replaced = verdict == ReplyClass.CREDENTIALS and await self._credentials_changed(credentials)
        late_until_s = sent_s + self._late_for_s if verdict == AMBIGUOUS else 0.0
        sent = SentRequest(
            attempt,
            ended_s,
            round_trip_s,
            credentials.fingerprint,
            replaced,
            retry_after_s,
            late_until_s=late_until_s,
        )
        return decide(ready, sent, now_ms=claim.redis_ms(ended_s), max_tries=self._max_tries)

    def _sync_clock(self, reply: Reply, sent_s: float, ended_s: float) -> bool:
        """Update the exchange's time from a reply; return whether the reply is older than its request."""
        is_skewed = reply.reply_class is ReplyClass.CLOCK_SKEW
        if is_skewed:
            self._exchange_clock.reset()
        if reply.request_time_ms is None:
            return False
        clock, time_ms = self._exchange_clock, reply.request_time_ms
        return not clock.add_sample(sent_s, ended_s, time_ms, corrects_wall_clock=is_skewed)

"""The worker's session: its lease on everything that it has in flight.

A renewal extends the session by its TTL, counted in time in which Redis served (session.lua). The worker itself trusts
its session for less: `TRUSTED_SHARE` of the TTL from when it asked for the renewal, by a clock that counts a machine's
sleep. So whatever blocks the process (a stop signal, a blocked event loop, a machine that sleeps, a Redis that does not
answer) ends the session for the worker before another one takes its lanes: it sends nothing more, claims nothing, and
aborts what is under way.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.contract import keyspace
from producers.queue.parts import BEATS_PER_TTL
from producers.transport.clients import keyspace_of
from producers.transport.script_messages import decode, encode
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.metrics import WorkerMetrics
from worker.queue.claims import Claim
from worker.queue.rate import Pacing
from worker.queue.redis_retry import RedisAvailability
from worker.queue.renewal import RENEW, LapsedSearch, RenewReply, RenewRequest
from worker.settings import WorkerSettings

TRUSTED_SHARE = 0.9
"""The part of the TTL for which a worker trusts its session. The rest is for clocks that run at different speeds."""

RETRY_S = 0.2
"""Pause before a renewal that Redis did not accept is tried again."""

PART = "renewing the session"

log = logging.getLogger(__name__)


class Session:
    """The session of one worker process. A session that is dead is replaced by one with a new ID.

    Attributes:
        session_id: ID of the session.
        replaced: set when the session was replaced.
        on_lost: called when the worker can no longer trust its session.
    """

    def __init__(
        self,
        redis: Redis,
        clock: Clock,
        settings: WorkerSettings,
        pacing: Pacing,
        *,
        availability: RedisAvailability | None = None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        """Create a session with the worker's rates; `renew` opens it, and `availability` takes note of outages."""
        self._redis = redis
        self._clock = clock
        self._pacing = pacing
        self._availability = availability or RedisAvailability(clock)
        self._metrics = metrics or WorkerMetrics()
        self.on_lost: Callable[[], object] = lambda: None
        self._ttl_s = settings.session_ttl_s
        self._egress = keyspace.escape(settings.egress)
        self._late_for_ms = round((settings.connect_timeout_s + settings.request_timeout_s) * 1000)
        self._trusted = asyncio.Event()
        self._due = asyncio.Event()
        self._lapsed = LapsedSearch()
        self.replaced = asyncio.Event()
        self._replace()

    def _replace(self) -> None:
        self.session_id = secrets.token_hex(8)
        self._is_open = False
        self._trusted_until_s = -math.inf
        self._claims = 0
        self._lost_claims: set[int] = set()
        self._unsettled: dict[int, int] = {}  # lanes in flight by claim; 0 while its reply is awaited

    @property
    def beat_s(self) -> float:
        """Time between two renewals."""
        return self._ttl_s / BEATS_PER_TTL

    def trusted_until_s(self, session_id: str) -> float:
        """Return until when a session is certainly this worker's, `Clock.uptime`; minus infinity if it is not."""
        return self._trusted_until_s if session_id == self.session_id else -math.inf

    def is_trusted(self, session_id: str) -> bool:
        """Return whether what a session has in flight is certainly this worker's."""
        return self._clock.uptime() < self.trusted_until_s(session_id)

    async def wait_until_trusted(self) -> None:
        """Wait until the worker may claim."""
        while not self.is_trusted(self.session_id):
            self._trusted.clear()
            self._due.set()
            await self._trusted.wait()

    def begin_claim(self) -> tuple[str, int]:
        """Return the session and the number of the next claim."""
        self._claims += 1
        self._unsettled[self._claims] = 0
        return self.session_id, self._claims

    def claimed(self, session_id: str, number: int, lanes: int) -> None:
        """Take note of how many lanes a claim took."""
        if session_id == self.session_id:
            self._unsettled[number] = lanes
            if not lanes:
                del self._unsettled[number]

    def settled(self, claim: Claim) -> None:
        """Take note that a claim's lane is no longer in flight here."""
        number = int(claim.token.partition(".")[0])
        if claim.session_id == self.session_id and number in self._unsettled:
            self._unsettled[number] -= 1
            if not self._unsettled[number]:
                del self._unsettled[number]

    def lose_claim(self, session_id: str, number: int) -> None:
        """Take note that the reply to a claim never came: the next renewal gives back what it claimed."""
        if session_id == self.session_id:
            self._unsettled.pop(number, None)
            self._lost_claims.add(number)
            self._due.set()

    def refused(self, session_id: str) -> None:
        """Take note that a claim was refused: renew at once, to learn whether the session is dead."""
        if session_id == self.session_id:
            self._trusted_until_s = -math.inf
            self._due.set()

    async def run(self) -> None:
        """Renew the session until cancelled. While Redis is away, try often, to be early when it is back."""
        watcher = asyncio.create_task(self._watch(), name="copytrade session watch")
        try:
            while True:
                pause_s = await self._renew_or_fail()
                self._due.clear()
                try:
                    async with asyncio.timeout(pause_s):
                        await self._due.wait()
                except TimeoutError:
                    continue
        finally:
            watcher.cancel()

    async def _renew_or_fail(self) -> float:
        """Renew, and return the seconds until the next renewal."""
        try:
            has_more = await self.renew()
        except (RedisError, OSError) as exc:
            self._availability.failed(PART, exc)
            return min(RETRY_S, self.beat_s)
        except Exception:
            log.exception("unexpected error in the renewal; it continues", extra=log_fields(Event.INTERNAL_ERROR))
            return self.beat_s
        self._availability.served(PART)
        return 0.0 if has_more else self.beat_s

    async def _watch(self) -> None:
        """Call `on_lost` each time the worker can no longer trust its session."""
        while True:
            left_s = self._trusted_until_s - self._clock.uptime()
            if left_s > 0:
                await self._clock.sleep(left_s)
                continue
            self.on_lost()
            await self.wait_until_trusted()

    async def renew(self) -> bool:
        """Open or renew the session; return whether to renew again at once.

        Raises:
            redis.exceptions.RedisError: Redis did not answer; the session stays as it was.
        """
        session_id, lost = self.session_id, sorted(self._lost_claims)
        asked_at_s = self._clock.uptime()
        request = self._request(opens=int(not self._is_open), refused_claims=max(lost, default=0), lost_claims=lost)
        reply = decode(RenewReply, await self._run(request))
        self._lapsed.learn(reply)
        if session_id != self.session_id:
            return True
        if not reply.is_alive:
            self._lose(session_id)
            return True
        self._is_open = True
        self._lost_claims.difference_update(lost)
        self._trusted_until_s = asked_at_s + TRUSTED_SHARE * self._ttl_s
        if self.is_trusted(session_id):
            self._trusted.set()
        return bool(reply.has_more)

    def _lose(self, session_id: str) -> None:
        """Begin a new session after others have taken this one back."""
        self._metrics.sessions_lapsed.add()
        extra = log_fields(Event.SESSION_LOST, session=session_id)
        message = "session %s ended: this worker was not heard of for %g s; others have its changes"
        log.warning(message, session_id, self._ttl_s, extra=extra)
        self.abandon(session_id)

    def abandon(self, session_id: str) -> None:
        """Begin a new session, and let one lapse that has something in flight which nobody will settle."""
        if session_id == self.session_id:
            self._replace()
            self.replaced.set()
            self._due.set()
            self.on_lost()

    async def close(self) -> None:
        """End the session, if it holds nothing; else it lapses."""
        await self._run(self._request(closes=1, refused_claims=self._claims))

    def _request(
        self, *, opens: int = 0, closes: int = 0, refused_claims: int, lost_claims: Sequence[int] = ()
    ) -> RenewRequest:
        return RenewRequest(
            session=self.session_id,
            opens=opens,
            closes=closes,
            ttl_ms=round(self._ttl_s * 1000),
            late_for_ms=self._late_for_ms,
            refused_claims=refused_claims,
            lost_claims=list(lost_claims),
            settled_claims=min(self._unsettled, default=self._claims + 1) - 1,
            in_flight=sum(self._unsettled.values()),
            egress=self._egress,
            egress_pace=self._pacing.egress_pace_us,
            looks=int(self._lapsed.is_due(random.random())),  # noqa: S311 - no secret
        )

    async def _run(self, request: RenewRequest) -> bytes:
        asked_at_s = self._clock.monotonic()
        reply: bytes = await RENEW.run(self._redis, keyspace_of(self._redis), [encode(request)])
        self._metrics.redis_call_duration.observe(self._clock.monotonic() - asked_at_s, "renew.lua")
        return reply

"""One attempt at a change: when it is sent, and when it is not."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest
from redis.asyncio import Redis

from producers import Outcome
from producers.contract import attempt_history
from producers.contract.codec import encode_change
from tests.support import claims
from tests.support.changes import change
from tests.support.manual_clock import ManualClock
from worker.attempt.attempt import AttemptRunner
from worker.credentials.model import Credentials
from worker.errors import SendDeadlinePassed, TransportError, UnknownUser
from worker.exchange.client import ExchangeClient, RawReply
from worker.exchange.clock import ExchangeClock
from worker.exchange.signing import headers
from worker.queue.claims import Claim, Finish, Requeue, Settled, Settlement
from worker.queue.lease import Heartbeat
from worker.queue.settle import Settler
from worker.secret import Secret
from worker.settings import WorkerSettings

SETTINGS = WorkerSettings()
KEYS = Credentials(user_id="1001", api_key=Secret("key"), secret_key=Secret("hush"), passphrase=Secret("pass"))
GRANTED = b'{"code":"00000","msg":"success","requestTime":1790000000000,"data":"success"}'


class Bench:
    """A runner whose clock, keys, exchange and settler belong to the test."""

    def __init__(self, *answers: RawReply | TransportError) -> None:
        self.clock = ManualClock()
        self.answers = list(answers)
        self.sent: list[tuple[bytes, dict[str, str]]] = []
        self.settled: list[Settlement] = []
        self.known = True
        self.connecting_s = 0.0
        self.heartbeat = Heartbeat(cast("Redis", None), self.clock, lease_s=SETTINGS.lease_s)
        self.attempt_runner = AttemptRunner(
            clock=self.clock,
            exchange=cast("ExchangeClient", self),
            exchange_clock=ExchangeClock(self.clock),
            credentials=self,
            settler=cast("Settler", self),
            heartbeat=self.heartbeat,
            settings=SETTINGS,
        )

    async def get(self, user_id: str) -> Credentials:
        """Return the credentials of a user."""
        if not self.known:
            raise UnknownUser(user_id, source="nowhere", remedy="add them")
        return KEYS

    async def post(self, _path: str, body: bytes, signed: dict[str, str], *, not_after_s: float) -> RawReply:
        """Answer half a second later."""
        self.clock.advance(self.connecting_s)
        if self.clock.monotonic() > not_after_s:
            raise SendDeadlinePassed("not sent")
        self.sent.append((body, signed))
        self.clock.advance(0.5)
        answer = self.answers.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    async def settle(self, settlement: Settlement) -> Settled:
        """Record a settlement."""
        self.settled.append(settlement)
        return Settled(fenced=False, finished=int(isinstance(settlement, Finish)), due_in_s=None)

    def claim(self, *, slot_in_s: float = 0, lease_in_s: float = SETTINGS.lease_s, **changed: Any) -> Claim:
        """Return a claim of a valid change, just made."""
        now_s = self.clock.monotonic()
        payload = encode_change(change(), enqueued_at_ms=self.clock.now_ms, ttl_ms=60_000)
        fields: dict[str, Any] = {"slot_at_s": now_s + slot_in_s, "lease_until_s": now_s + lease_in_s}
        fields |= {"payload": payload, "redis_clock_offset_ms": self.clock.now_ms - now_s * 1000}
        return claims.claim(**(fields | changed))

    async def apply(self, claim: Claim) -> Settlement:
        """Run one attempt; return its settlement."""
        await self.attempt_runner.run(claim)
        (only,) = self.settled
        return only


def granted() -> RawReply:
    return RawReply(200, GRANTED, 0.4)


async def test_a_change_is_signed_and_sent_and_its_outcome_settled() -> None:
    """The signed bytes are the bytes that are sent, without the user."""
    bench = Bench(granted())

    settlement = await bench.apply(bench.claim())

    ((body, signed),) = bench.sent
    wire = msgspec.to_builtins(change())
    del wire["userId"]
    assert msgspec.json.decode(body) == wire
    at_ms = int(signed["ACCESS-TIMESTAMP"])
    assert signed == headers(KEYS, at_ms, "POST", "/api/v2/copy/mix-follower/settings", body)
    assert isinstance(settlement, Finish)
    assert settlement.results[0].applied
    assert settlement.request is not None
    assert (settlement.request.ended_s, settlement.request.round_trip_s) == (bench.clock.monotonic(), 0.4)


async def test_rejected_keys_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If they were replaced meanwhile, the change is sent again."""
    refusal = RawReply(400, b'{"code":"40006","msg":"no such key","requestTime":1790000000000,"data":null}', 0.4)
    others = Credentials(user_id="1001", api_key=Secret("new"), secret_key=Secret("hush"), passphrase=Secret("pass"))
    bench, same = Bench(refusal), Bench(refusal)
    kept = [KEYS, others]
    monkeypatch.setattr(bench, "get", lambda _user: asyncio.sleep(0, kept.pop(0)))

    replaced, refused = await bench.apply(bench.claim()), await same.apply(same.claim())

    assert isinstance(replaced, Requeue)
    assert replaced.request is not None
    assert (replaced.request.keys_replaced, replaced.request.rejected_keys_mark) == (True, None)
    assert isinstance(refused, Finish)
    assert refused.results[0].outcome is Outcome.UNAUTHORIZED
    assert refused.request is not None
    assert refused.request.failure_kind == "refused 40006"
    assert (refused.request.rejected_keys_mark or "").partition(" ")[0] == KEYS.fingerprint


async def test_nothing_is_sent_if_the_lease_may_lapse_before_the_request_ends() -> None:
    """The change is put back with its history."""
    bench = Bench()
    history = attempt_history.encode(attempt_history.AttemptHistory(tries=3))

    settlement = await bench.apply(bench.claim(lease_in_s=SETTINGS.request_timeout_s, history=history))

    assert bench.sent == []
    assert isinstance(settlement, Requeue)
    assert (settlement.history, settlement.request) == (history, None)


async def test_nothing_is_sent_if_the_lease_lapses_while_waiting_for_a_connection() -> None:
    """The change is put back without a try."""
    bench = Bench(granted())
    bench.connecting_s = SETTINGS.lease_s - SETTINGS.request_timeout_s + 0.1

    settlement = await bench.apply(bench.claim())

    assert bench.sent == []
    assert isinstance(settlement, Requeue)
    assert settlement.request is None


async def test_a_renewed_lease_does_not_prolong_its_slot() -> None:
    """The bucket counts on a request within one lease of its slot."""
    bench = Bench(granted())
    claim = bench.claim()
    bench.clock.advance(SETTINGS.lease_s - SETTINGS.request_timeout_s + 0.1)
    bench.heartbeat._until_s[claim.token] = bench.clock.monotonic() + SETTINGS.lease_s

    settlement = await bench.apply(claim)

    assert bench.sent == []
    assert isinstance(settlement, Requeue)


async def test_a_request_is_sent_if_the_lease_just_outlasts_it() -> None:
    """The lease is 10 ms longer than the time-out of the request."""
    bench = Bench(granted())

    await bench.apply(bench.claim(lease_in_s=SETTINGS.request_timeout_s + 0.01))

    assert len(bench.sent) == 1


async def test_a_change_that_waits_for_its_slot_is_put_back_when_the_worker_stops() -> None:
    """It is due again at once, although its slot was an hour away."""
    bench = Bench()
    attempt = asyncio.create_task(bench.apply(bench.claim(slot_in_s=3600, lease_in_s=7200)))
    await asyncio.sleep(0)

    bench.attempt_runner.stop()
    async with asyncio.timeout(30):
        settlement = await attempt

    assert bench.sent == []
    assert isinstance(settlement, Requeue)
    assert settlement.delay_s == 0


async def test_nothing_is_sent_once_the_worker_stops() -> None:
    """A change whose slot is due now is put back as well."""
    bench = Bench()
    bench.attempt_runner.stop()

    assert isinstance(await bench.apply(bench.claim()), Requeue)
    assert bench.sent == []


async def test_a_change_of_a_user_without_credentials_ends_at_once() -> None:
    """Nothing is signed or sent, and the slot is free again."""
    bench = Bench()
    bench.known = False

    settlement = await bench.apply(bench.claim(slot_in_s=3600, lease_in_s=7200))

    assert isinstance(settlement, Finish)
    assert (settlement.results[0].outcome, settlement.request) == (Outcome.UNAUTHORIZED, None)
    assert bench.sent == []


@pytest.mark.parametrize(("sent", "verdict"), [(True, "ambiguous"), (False, "transient")])
async def test_a_request_without_a_reply_has_no_round_trip(sent: bool, verdict: str) -> None:
    """Its window counts from when it was given up. If it was sent, it may be applied for as long as a request takes."""
    bench = Bench(TransportError("gone", sent=sent))
    settlement = await bench.apply(bench.claim())

    assert isinstance(settlement, Requeue)
    assert settlement.request is not None
    assert (settlement.request.ended_s, settlement.request.round_trip_s) == (bench.clock.monotonic(), None)
    assert [each.verdict for each in attempt_history.decode(settlement.history).attempts] == [verdict]
    late_until_s = SETTINGS.connect_timeout_s + SETTINGS.request_timeout_s
    assert settlement.request.late_until_s == (pytest.approx(late_until_s) if sent else 0)


async def test_a_reply_from_before_its_request_ends_no_change() -> None:
    """It is the reply to another request, so nothing is known of this one, not even a round trip."""
    bench = Bench(granted(), RawReply(200, GRANTED.replace(b"1790000000000", b"1789999990000"), 0.4))
    for _ in range(2):
        await bench.attempt_runner.run(bench.claim())
    second = bench.settled[1]
    assert isinstance(second, Requeue)
    assert second.request is not None
    assert (second.request.attempt.verdict, second.request.round_trip_s) == ("ambiguous", None)


async def test_each_attempt_has_a_timestamp_of_its_own() -> None:
    """A retry is signed anew: 10 s of waiting and half a second of the first request lie between them."""
    bench = Bench(RawReply(500, b"", 0.4), granted())
    await bench.attempt_runner.run(bench.claim())
    bench.clock.advance(10)
    await bench.attempt_runner.run(bench.claim())
    first, second = (int(signed["ACCESS-TIMESTAMP"]) for _, signed in bench.sent)
    assert second - first == 10_500

"""One attempt at a change: when it is sent, and when it is not."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from producers import Outcome
from producers.contract import attempt_history
from tests.support.attempts import GRANTED, KEYS, LATE_FOR_S, Bench, granted
from tests.support.changes import change
from worker.credentials.model import Credentials
from worker.errors import TransportError
from worker.exchange.client import RawReply
from worker.exchange.signing import headers
from worker.queue.claims import Finish, Requeue
from worker.secret import Secret


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


@pytest.mark.parametrize(("lost_deliveries", "may_have_been_applied"), [(0, False), (1, True)])
async def test_a_change_of_an_unknown_user_says_whether_it_may_have_been_sent(
    lost_deliveries: int, may_have_been_applied: bool
) -> None:
    """A worker that died while sending it knew the user."""
    bench = Bench()
    bench.known = False

    settlement = await bench.apply(bench.claim(lost_deliveries=lost_deliveries))

    assert isinstance(settlement, Finish)
    (result,) = settlement.results
    assert result.outcome is Outcome.UNAUTHORIZED
    assert result.message.startswith("not sent: ")
    assert ("may have been applied" in result.message) is may_have_been_applied


async def test_a_change_that_waits_for_its_slot_is_put_back_when_the_worker_stops() -> None:
    """It is due again at once, although its slot was an hour away."""
    bench = Bench()
    attempt = asyncio.create_task(bench.apply(bench.claim(slot_in_s=3600)))
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

    settlement = await bench.apply(bench.claim(slot_in_s=3600))

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
    assert settlement.request.late_until_s == (pytest.approx(LATE_FOR_S) if sent else 0)


async def test_a_reply_from_before_its_request_ends_no_change() -> None:
    """It is the reply to another request, so nothing is known of this one, not even a round trip."""
    bench = Bench(granted(), RawReply(200, GRANTED.replace(b"1790000000000", b"1789999990000"), 0.4))
    for _ in range(2):
        await bench.attempt_runner.run(bench.claim())
    second = bench.settlements[1]
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

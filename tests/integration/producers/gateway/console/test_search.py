"""The console's search: one box for users, changes and batches, whatever is written into it."""

from __future__ import annotations

import httpx
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Outcome, Producer
from producers.contract.access_keys import Scope, key_id_of
from tests.support.changes import change, setting
from tests.support.fan_outs import end_some
from tests.support.gateway import access_key, body, gateway_on, shown
from tests.support.lanes import Lanes


async def found(gateway: httpx.AsyncClient, query: str) -> str:
    """Return where a search leads to."""
    answer = await gateway.get("/search", params={"q": query})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


async def test_an_id_leads_to_what_it_is_that_of(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Blanks around it do not count; that of a control job leads to the change that it enqueued."""
    await served_producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["u1"], batch_id="july")
    await served_producer.enqueue(change("u2"), job_id="j/'1")
    await served_producer.enqueue(change("u2"), job_id="control.change")

    assert await found(gateway, " u1\n") == "/user?id=u1"
    assert await found(gateway, "july") == "/batch?id=july"
    assert await found(gateway, "july..u1") == "/change?id=july..u1"
    assert await found(gateway, "j/'1") == "/change?id=j%2F%271"
    assert await found(gateway, "control") == "/change?id=control.change"
    for claim in await served_lanes.claim():
        await served_lanes.done(claim)
    assert await found(gateway, "july..u1") == "/change?id=july..u1"


async def test_a_user_without_changes_is_found_by_what_is_known_of_it(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """A pause, a limit of its own, the use of its rate, or its dead letters."""
    await served_producer.enqueue(change("6"))
    await end_some(served_lanes, [(Outcome.REJECTED, {})])
    await served_lanes.redis.delete(KEYS.bucket_of("6"))  # as if some time had passed
    await served_producer.pause(user_id="7")
    await served_producer.limit_user("8", 5)
    await served_producer.enqueue(change("9"))
    await served_lanes.attempt(await served_lanes.claim_one())

    assert [await found(gateway, user) for user in "6789"] == [f"/user?id={user}" for user in "6789"]


async def test_of_several_the_reader_chooses(gateway: httpx.AsyncClient, served_producer: Producer) -> None:
    """A user, a change and a batch of one ID."""
    await served_producer.enqueue(change("x"), job_id="x")
    await served_producer.fan_out([change("2")], batch_id="x")

    page = await shown(gateway, "/search", q="x")

    assert [f'href="/{kind}?id=x">The {kind} x</a>' in page for kind in ("user", "change", "batch")] == [True] * 3


async def test_anything_may_be_searched(gateway: httpx.AsyncClient) -> None:
    """It is text in the page, which says that nothing was found."""
    odd = ["", "   ", "a b", "x" * 10_000, "<script>alert(1)</script>", "'\"><b>", "\x00", "a\x1b[31m\x07", "é\u202e"]
    pages = [await shown(gateway, "/search", q=query) for query in odd]
    not_text = [await gateway.get(f"/search{query}") for query in ("?q=%FF%FE", "", "?q=%00%C3%28", "?q")]

    assert all("<h1>Search</h1>" in page and len(page) < 10_000 for page in pages)
    assert all(markup not in "".join(pages) for markup in ("<b>", "<script>"))
    assert [answer.status_code for answer in not_text] == [200] * 4


async def test_of_an_unknown_id_the_page_of_the_user_is_offered(gateway: httpx.AsyncClient) -> None:
    """It can be paused or limited before its first change."""
    page = await shown(gateway, "/search", q="u/1")

    assert "If it is a user, it has no changes in the queue" in page
    assert 'href="/user?id=u%2F1"' in page
    assert 'href="/dead-letters?user=u%2F1"' in page


async def test_a_bound_key_finds_its_own_only(valkey_dsn: str, valkey: ArqRedis, served_producer: Producer) -> None:
    """Neither the users of others nor their changes and batches; each of its users, whether it has changes or not."""
    await served_producer.enqueue(change("5"), job_id="theirs")
    await served_producer.fan_out([change("5")], batch_id="july")
    key = await access_key(valkey, *Scope, user_ids=frozenset({"6", "7"}))
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
        await gateway.post("/v1/changes", json=body(change("6")), headers=headers)
        await gateway.post("/sign-in", data={"key": key})
        pages = [await shown(gateway, "/search", q=query) for query in ("5", "theirs", "july")]
        own = [await found(gateway, query) for query in ("6", "7", f"{key_id_of(key)}.k")]

    assert all("that this access key may see" in page and "/user?id=" not in page for page in pages)
    assert own == ["/user?id=6", "/user?id=7", f"/change?id={key_id_of(key)}.k"]

"""The console's screen of dead letters: groups, filters, pages, and replaying and dropping what matches."""

from __future__ import annotations

import logging
import re

import httpx
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Outcome, Producer
from producers.contract.access_keys import Scope
from producers.contract.wording import plural
from producers.gateway.console import letters_search
from tests.support.changes import change
from tests.support.fan_outs import end_some, to_users
from tests.support.gateway import access_key, gateway_on, page_after, shown
from tests.support.lanes import Lanes

pytestmark = pytest.mark.usefixtures("dead")
ROWS = re.compile(r'<a href="/change\?id=([^"]*)"')
FIELDS = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
GROUPS = re.compile(r'<th scope="row"><a href="/dead-letters\?([^"]*)">([^<]*)</a></th>')


@pytest.fixture
async def dead(served_producer: Producer, served_lanes: Lanes) -> None:
    """Four dead letters: two of trader a, one of b and a user with markup, one of a batch."""
    ends = [("a1", "1", "a", Outcome.REJECTED, "40017"), ("a2", "1", "a", Outcome.EXHAUSTED, None)]
    for job_id, user_id, trader_id, outcome, code in [*ends, ("b3", "u/'<b>", "b", Outcome.REJECTED, "40017")]:
        await served_producer.enqueue(change(user_id, trader_id), job_id=job_id)
        await end_some(served_lanes, [(outcome, {"code": code, "message": f"<i>{job_id}</i>"})])
    await to_users(served_producer, ["3"], "july")
    await end_some(served_lanes, [(Outcome.UNAUTHORIZED, {"code": "40037"})])


async def test_dead_letters_are_shown_newest_first_with_their_causes(gateway: httpx.AsyncClient) -> None:
    """What the exchange or a caller wrote is text."""
    text = await shown(gateway, "/dead-letters")

    assert ROWS.findall(text) == ["july..3", "b3", "a2", "a1"]
    assert GROUPS.findall(text) == [
        ("outcome=rejected&amp;code=40017", "rejected 40017"),
        ("outcome=unauthorized&amp;code=40037", "unauthorized 40037"),
        ("outcome=exhausted&amp;code=none", "exhausted, no code"),
    ]
    assert "&lt;i&gt;b3&lt;/i&gt;" in text
    assert 'href="/user?id=u%2F%27%3Cb%3E">u/&#39;&lt;b&gt;</a>' in text
    assert "<i>" not in text


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("user", [("by=user&amp;user=1", "1"), ("by=user&amp;user=3", "3")]),
        (
            "trader",
            [("by=trader&amp;trader=a", "a"), ("by=trader&amp;trader=t1", "t1"), ("by=trader&amp;trader=b", "b")],
        ),
        ("batch", [("by=batch&amp;batch=july", "july")]),
    ],
)
async def test_each_group_links_to_what_it_counts(
    gateway: httpx.AsyncClient, by: str, groups: list[tuple[str, str]]
) -> None:
    """The links keep the grouping."""
    found = GROUPS.findall(await shown(gateway, "/dead-letters", by=by))

    assert [group for group in found if "%" not in group[0]] == groups
    for query, _ in found:
        page = (await gateway.get(f"/dead-letters?{query.replace('&amp;', '&')}")).text
        assert len(GROUPS.findall(page)) == 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"trader": "a"}, ["a2", "a1"]),
        ({"code": "40017", "user": "1"}, ["a1"]),
        ({"outcome": "unauthorized", "batch": "july"}, ["july..3"]),
        ({"user": "nobody"}, []),
        ({"user": "", "code": ""}, ["july..3", "b3", "a2", "a1"]),
    ],
)
async def test_filters_combine_for_the_list_and_for_the_actions(
    gateway: httpx.AsyncClient, served_producer: Producer, filters: dict[str, str], found: list[str]
) -> None:
    """An action shows how many match, and then concerns exactly those, not a page of them."""
    given = {name: value for name, value in filters.items() if value}
    text = await shown(gateway, "/dead-letters", **filters)
    asked = await gateway.get("/dead-letters/drop", params=filters, follow_redirects=True)
    dropped = await gateway.post("/actions/drop-letters", data=given or {"everything": "yes"})

    assert ROWS.findall(text) == found
    count = f"{'' if given else 'all '}{len(found)} dead letter{'' if len(found) == 1 else 's'}"
    assert (f"Drop {count}" in asked.text) is bool(found)
    assert ("No dead letter matches." in asked.text) is not bool(found)
    assert f"Dropped: {plural(len(found), 'dead letter')}." in await page_after(gateway, dropped)
    assert await served_producer.dead.count() == 4 - len(found)


@pytest.mark.parametrize("action", ["drop", "replay"])
@pytest.mark.parametrize("filters", [{}, {"trader": "a"}])
async def test_an_action_concerns_what_its_page_counted(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes, action: str, filters: dict[str, str]
) -> None:
    """Not what failed between the page and the click."""
    form = dict(FIELDS.findall(await shown(gateway, f"/dead-letters/{action}", **filters)))
    await served_producer.enqueue(change("1", "a"), job_id="later")
    await end_some(served_lanes, [(Outcome.REJECTED, {})])
    await gateway.post(f"/actions/{action}-letters", data=form)
    left = [letter.job_id async for letter in served_producer.dead.list()]

    assert left == (["b3", "july..3", "later"] if filters else ["later"])


async def test_replaying_enqueues_what_matches_once(
    gateway: httpx.AsyncClient, served_lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    """However often the form is sent. The audit log has who, what and how many."""
    with caplog.at_level(logging.INFO, "producers.gateway.audit"):
        answers = [await gateway.post("/actions/replay-letters", data={"trader": "a"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert "Replayed: 2 dead letters. The new changes are" in await page_after(gateway, answers[0])
    assert [record.message for record in caplog.records] == [
        f"key local (this machine): replay dead letters of trader a, {count}" for count in (2, 0)
    ]
    assert [claim.lane for claim in await served_lanes.claim()] == ["1:a"]


async def test_replaying_letters_of_a_batch_makes_a_batch_that_can_be_watched(gateway: httpx.AsyncClient) -> None:
    """It is named by theirs. Sent again, the form leads to that one."""
    form = {"batch": "july", "code": "40037"}
    asked = await shown(gateway, "/dead-letters/replay", **form)
    first, again = [await gateway.post("/actions/replay-letters", data=form) for _ in range(2)]

    assert "with new job IDs, as a batch of their own" in asked
    assert "<h1>Batch july.retry-" in await page_after(gateway, first)
    assert "Retried as" in await page_after(gateway, again)


async def test_older_dead_letters_are_a_page_of_their_own(
    gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which groups nothing."""
    monkeypatch.setattr(letters_search, "SHOWN_LETTERS", 3)
    first = await shown(gateway, "/dead-letters")
    older = re.search(r'href="/dead-letters\?before=([^"]*)">Older', first)
    assert older
    second = await shown(gateway, "/dead-letters", before=older[1])

    assert (ROWS.findall(first), ROWS.findall(second)) == (["july..3", "b3", "a2"], ["a1"])
    assert GROUPS.findall(second) == []
    assert ">Older<" not in second


async def test_a_dead_letter_without_its_result_is_shown(gateway: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """One whose payload has expired is not."""
    await valkey.delete(KEYS.result + "a1", KEYS.dead_letter + "a2")

    alone = await shown(gateway, "/dead-letters", trader="a")
    text = await shown(gateway, "/dead-letters")

    assert ROWS.findall(alone) == ["a1"]
    assert "Their results have expired" in alone
    assert 'data-label="Code"' not in alone
    assert "its result has expired" in text


async def test_a_replay_warns_of_users_without_valid_keys_and_leads_to_the_new_changes(
    gateway: httpx.AsyncClient,
) -> None:
    """Of one change to it, which names the change that it replays; of a user's to the user."""
    asked = {user: await shown(gateway, "/dead-letters/replay", user=user) for user in ("1", "3")}
    one, of_user = [await gateway.post("/actions/replay-letters", data={"user": user}) for user in ("3", "1")]

    assert "Ended unauthorized" not in asked["1"]
    assert "Ended unauthorized: 1 of these." in asked["3"]
    assert "also if this page is closed" in asked["1"]
    assert 'href="/dead-letters?user=3&amp;outcome=unauthorized&amp;by=user"' in asked["3"]
    assert one.headers["Location"].startswith("/change?id=july~~3~~")
    assert 'href="/change?id=july..3"' in (await gateway.get(one.headers["Location"])).text
    assert of_user.headers["Location"] == "/user?id=1"


async def test_odd_input_changes_nothing(gateway: httpx.AsyncClient, served_producer: Producer) -> None:
    """Above all, an empty filter is not everything."""
    answers = [
        await gateway.get(path, params=params)
        for path, params in [
            ("/dead-letters", {"outcome": "applied"}),
            ("/dead-letters", {"by": "moon"}),
            ("/dead-letters", {"before": "nan"}),
            ("/dead-letters", {"user": "<i>" + "x" * 10_000}),
            ("/dead-letters/drop", {"outcome": "applied"}),
        ]
    ] + [
        await gateway.post(path, data=fields)
        for path, fields in [
            ("/actions/drop-letters", {"x": ""}),
            ("/actions/drop-letters", {"user": ""}),
            ("/actions/drop-letters", {"user": "1", "everything": "yes"}),
            ("/actions/replay-letters", {"surprise": "yes"}),
            ("/actions/drop-letters", {"user": "1", "until": "now"}),
        ]
    ]

    assert [answer.status_code for answer in answers] == [422] * len(answers)
    assert not any("<i>x" in answer.text for answer in answers)
    assert await served_producer.dead.count() == 4


async def test_only_who_may_operate_sees_and_sends_the_actions(valkey_dsn: str, valkey: ArqRedis) -> None:
    """Nor in a gateway that is read-only. A bound key sees no dead letters."""
    keys = {
        "reader": await access_key(valkey, Scope.READ),
        "bound": await access_key(valkey, *Scope, user_ids=frozenset({"1"})),
    }
    statuses = []
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        await gateway.post("/sign-in", data={"key": keys["reader"]})
        text = await shown(gateway, "/dead-letters")
        statuses += [(await gateway.get("/dead-letters/drop")).status_code]
        await gateway.post("/sign-in", data={"key": keys["bound"]})
        statuses += [(await gateway.get(path)).status_code for path in ("/dead-letters", "/dead-letters/replay")]
        statuses += [(await gateway.post("/actions/drop-letters", data={"user": "1"})).status_code]
    async with gateway_on(valkey_dsn, gateway_read_only=True) as gateway:
        text += await shown(gateway, "/dead-letters")
        statuses += [(await gateway.post("/actions/replay-letters", data={"everything": "yes"})).status_code]

    assert statuses == [403] * 5
    assert 'class="button' not in text

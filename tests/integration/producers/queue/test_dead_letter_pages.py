"""Long indexes of dead letters are read a part at a time: to replay and drop them, for pages, and to group them."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import DeadLetterGrouping, Outcome, Producer
from producers.contract import keyspace
from producers.queue import dead_letter_index
from producers.queue.dead_letter_index import IndexEntry, select_part, visit
from producers.queue.dead_letter_pages import group_newest
from producers.queue.dead_letter_selection import Selection
from producers.transport.commands import ZADD
from producers.transport.plan import Plan
from producers.transport.runner import execute
from tests.support.changes import change
from tests.support.dead_letters import EXHAUSTED, REJECTED, UNAUTHORIZED, listed
from tests.support.fan_outs import end_some, to_users
from tests.support.lanes import Lanes

ENDS = [
    ("a1", "1", "a", REJECTED, "40017"),
    ("a2", "1", "a", REJECTED, "40034"),
    ("a3", "1", "a", UNAUTHORIZED, "40037"),
    ("b4", "2", "b", EXHAUSTED, None),
]


@pytest.fixture
async def dead(producer: Producer, lanes: Lanes) -> Producer:
    """Five dead letters: a1 to a3 of trader a, b4 of trader b, and one of a batch."""
    for job_id, user_id, trader_id, outcome, code in ENDS:
        await producer.enqueue(change(user_id, trader_id), job_id=job_id)
        await end_some(lanes, [(outcome, {"code": code, "message": f"of {job_id}"})])
    await to_users(producer, ["3"], "july")
    await end_some(lanes, [(REJECTED, {"code": "40017", "message": "of july"})])
    return producer


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"trader_id": "a"}, ["a1", "a2", "a3"]),
        ({"trader_id": "b"}, ["b4"]),
        ({"code": "40017"}, ["a1", "july..3"]),
        ({"code": "40017", "trader_id": "a"}, ["a1"]),
        ({"code": "40017", "batch_id": "july", "outcome": REJECTED, "user_id": "3"}, ["july..3"]),
        ({"code": "4001"}, []),
        ({"code": "none"}, ["b4"]),
    ],
)
async def test_dead_letters_are_selected_by_trader_and_code(
    dead: Producer, filters: dict[str, str], found: list[str]
) -> None:
    """Whatever is done with them."""
    assert await listed(dead, **filters) == found
    assert await dead.dead.count(**filters) == len(found)  # type: ignore[arg-type]
    assert [letter.job_id for letter in (await dead.dead.page(**filters)).letters] == found[::-1]  # type: ignore[arg-type]
    if found:
        report = await dead.dead.replay(**filters)  # type: ignore[arg-type]
        assert [old for old, _ in report.replayed] == found
        assert await dead.dead.count() == 5 - len(found)


async def test_a_dead_letter_whose_result_has_expired_has_no_code(dead: Producer, lanes: Lanes) -> None:
    """It is found among those without one, and can be dropped."""
    await lanes.redis.set(KEYS.result + "a1", b"\xc1 no result")
    await lanes.redis.delete(KEYS.result + "a2")

    assert await listed(dead, code="none") == ["a1", "a2", "b4"]
    assert await dead.dead.drop(code="none", trader_id="a") == 2
    assert await dead.dead.drop(code="40017") == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("newest_first", [False, True])
async def test_parts_have_each_entry_once_in_order(redis: ArqRedis, limit: int, *, newest_first: bool) -> None:
    """Also if many have the same time, more than a part has, and in several indexes."""
    times = [1, 2, 2, 2, 2, 3, 5, 5, 7, 8]
    outcomes = [REJECTED, REJECTED, UNAUTHORIZED, REJECTED, EXHAUSTED] * 2
    for number, (time_us, outcome) in enumerate(zip(times, outcomes, strict=True)):
        await redis.zadd(KEYS.dead_letters + outcome, {f"1:t j{number}": time_us})

    found: list[IndexEntry] = []
    start_us: float | None = None
    while True:
        options = {"start_us": start_us, "newest_first": newest_first, "limit": limit}
        part = await execute(redis, select_part(KEYS, Selection(), **options))  # type: ignore[arg-type]
        assert part.looked_at == len(part.entries) <= max(limit, 6)
        found += part.entries
        start_us = part.next_us
        if start_us is None:
            break

    assert [entry.ended_at_us for entry in found] == sorted(times, reverse=newest_first)
    assert len({entry.job_id for entry in found}) == len(times)


async def test_what_dies_meanwhile_is_not_visited(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay of changes that fail again at once comes to an end."""
    monkeypatch.setattr(dead_letter_index, "PART_SIZE", 2)
    await redis.zadd(KEYS.dead_letters + REJECTED, {f"1:t j{number}": number for number in range(5)})
    visited: list[str] = []

    def take(entries: list[IndexEntry]) -> Plan[None]:
        for entry in entries:
            visited.append(entry.job_id)
            yield from ZADD(KEYS.dead_letters + REJECTED, 1000 + len(visited), f"1:t again{len(visited)}")

    await execute(redis, visit(KEYS, Selection(), take))
    assert visited == [f"j{number}" for number in range(5)]


async def test_a_long_index_is_replayed_and_dropped_in_parts(
    dead: Producer, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out, though entries leave the index between the parts."""
    monkeypatch.setattr(dead_letter_index, "PART_SIZE", 1)

    report = await dead.dead.replay(trader_id="a")
    assert [old for old, _ in report.replayed] == ["a1", "a2", "a3"]
    assert [claim.job_id for claim in await lanes.claim()] == [new for _, new in report.replayed[:1]]
    assert await dead.dead.drop(everything=True) == 2


async def test_the_newest_dead_letters_are_shown_page_by_page(dead: Producer, lanes: Lanes) -> None:
    """Those that have expired are left out, and leave the index."""
    await lanes.redis.delete(KEYS.dead_letter + "a3")

    first = await dead.dead.page(limit=2)
    second = await dead.dead.page(first.next_us, limit=2)
    last = await dead.dead.page(second.next_us, limit=2)

    pages = [[letter.job_id for letter in page.letters] for page in (first, second, last)]
    assert pages == [["july..3", "b4"], ["a2"], ["a1"]]
    assert last.next_us is None
    assert (await dead.dead.counts())[UNAUTHORIZED] == 0


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (
            DeadLetterGrouping.CAUSE,
            [
                (2, {"outcome": "rejected", "code": "40017"}, "of july"),
                (1, {"outcome": "exhausted", "code": "none"}, "of b4"),
                (1, {"outcome": "unauthorized", "code": "40037"}, "of a3"),
                (1, {"outcome": "rejected", "code": "40034"}, "of a2"),
            ],
        ),
        (DeadLetterGrouping.USER, [(3, {"user_id": "1"}, ""), (1, {"user_id": "3"}, ""), (1, {"user_id": "2"}, "")]),
        (
            DeadLetterGrouping.TRADER,
            [(3, {"trader_id": "a"}, ""), (1, {"trader_id": "t1"}, ""), (1, {"trader_id": "b"}, "")],
        ),
        (DeadLetterGrouping.BATCH, [(4, {}, ""), (1, {"batch_id": "july"}, "")]),
    ],
)
async def test_dead_letters_are_grouped(
    dead: Producer, by: DeadLetterGrouping, groups: list[tuple[int, dict[str, str], str]]
) -> None:
    """Each group has the filters that select it, and the message of its newest dead letter."""
    found = await dead.dead.groups(by)

    assert [(group.count, group.filters, group.message) for group in found.groups] == groups
    assert (found.looked_at, found.complete) == (5, True)
    for group in found.groups:
        if group.filters:
            assert await dead.dead.count(**group.filters) == group.count  # type: ignore[arg-type]


@pytest.mark.usefixtures("dead")
async def test_only_the_newest_dead_letters_are_grouped(redis: ArqRedis) -> None:
    """The groups say so."""
    found = await execute(redis, group_newest(KEYS, Selection(), DeadLetterGrouping.USER, look_at=2))

    assert (found.looked_at, found.complete) == (2, False)
    assert sum(group.count for group in found.groups) == 2


async def test_traders_are_compared_unescaped(producer: Producer, redis: ArqRedis) -> None:
    """As users are."""
    lane = keyspace.lane("1", "a:b")
    await redis.zadd(KEYS.dead_letters + Outcome.REJECTED, {f"{lane} j": 1})

    assert [await producer.dead.count(trader_id=name) for name in ("a:b", "a", "a%3Ab")] == [1, 0, 0]

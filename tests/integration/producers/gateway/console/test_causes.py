"""The failures of a batch by cause, which the console counts a part at a look."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from producers import JobResult, Outcome, Producer
from producers.gateway.console import causes
from tests.support.fan_outs import end_some, to_users, users
from tests.support.gateway import shown
from tests.support.lanes import Lanes


async def test_failures_are_counted_by_cause_a_part_at_a_look(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each result is read once; the page says how many are counted, and messages are text."""
    monkeypatch.setattr(causes, "PAGE_SIZE", 2)
    await to_users(served_producer, users(6), "july")
    rejected = (Outcome.REJECTED, {"code": "40017", "message": "<b>no</b>"})
    await end_some(served_lanes, [rejected] * 4 + [(Outcome.APPLIED, {}), (Outcome.EXPIRED, {})])

    first, second = await shown(gateway, "/batch", id="july"), await shown(gateway, "/batch", id="july")

    assert "4 of 5 failures are counted so far" in first
    assert "failures are counted" not in second
    assert [text.count("&lt;b&gt;no&lt;/b&gt;</a></td>") for text in (first, second)] == [1, 1]
    assert '<td class="number" data-label="Changes">4</td>' in second
    assert '<td class="number" data-label="Changes">1</td>' in second


async def test_rare_messages_of_a_code_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is different each time cannot fill the memory."""
    monkeypatch.setattr(causes, "MAX_CAUSES", 2)
    found = causes.Causes()
    found.add(JobResult(job_id="j", user_id="1", trader_id="t", outcome=Outcome.REJECTED, message=str(number))
              for number in range(5))  # fmt: skip

    assert found.counts[causes.Cause(Outcome.REJECTED, None, causes.OTHER_MESSAGES)] == 3
    assert found.counted == 5


async def test_users_without_api_keys_are_one_cause() -> None:
    """The message of each names its user."""
    found = causes.Causes()
    found.add(
        JobResult(job_id="j", user_id=user, trader_id="t", outcome=Outcome.UNAUTHORIZED,
                  message=f"no credentials for user '{user}' in a file")
        for user in ("1", "2")
    )  # fmt: skip

    cause = causes.Cause(Outcome.UNAUTHORIZED, None, "no credentials for the user in a file")
    assert found.counts == {cause: 2}


async def test_tabs_that_look_at_once_count_each_failure_once(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """They share what is counted."""
    await to_users(served_producer, users(9), "july")
    await end_some(served_lanes, [(Outcome.REJECTED, {"code": "40017"})] * 9)

    pages = await asyncio.gather(*[shown(gateway, "/batch", id="july") for _ in range(5)])

    assert all('<td class="number" data-label="Changes">9</td>' in text for text in pages)

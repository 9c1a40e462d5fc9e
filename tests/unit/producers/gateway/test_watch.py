"""What all tabs of the console share: one read of the overview, its rates and its charts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from producers import Outcome, Overview, QueueUnavailable, UserStatus
from producers.gateway.console import watch
from producers.gateway.console.history import History
from producers.gateway.console.user import obstacle
from tests.support.overviews import egress, overview


class Producer:
    """A producer whose overviews a test hands out."""

    def __init__(self) -> None:
        self.reads: list[asyncio.Future[Overview]] = []

    async def overview(self) -> Overview:
        """Wait for what the test answers."""
        self.reads.append(asyncio.get_running_loop().create_future())
        return await self.reads[-1]


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    """The producer of the only gateway."""
    made = Producer()
    monkeypatch.setattr(watch, "gateway_of", lambda _: type("Gateway", (), {"producer": made}))
    monkeypatch.setattr(watch, "notice_of", lambda _: None)
    return made


REQUEST = cast("Any", None)


async def test_tabs_that_ask_at_once_share_one_read_and_its_failure(producer: Producer) -> None:
    """They are told together that Redis is away, instead of one after the other. The next one tries again."""
    watched = watch.Watch()
    tabs = [asyncio.create_task(watched.latest(REQUEST)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    producer.reads[0].set_exception(QueueUnavailable("away"))
    failures = await asyncio.gather(*tabs, return_exceptions=True)
    again = asyncio.create_task(watched.latest(REQUEST))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    producer.reads[1].set_result(overview(at_ms=5))

    assert [type(failure) for failure in failures] == [QueueUnavailable] * 3
    assert (await again).at_ms == 5
    assert len(producer.reads) == 2


async def test_a_tab_that_is_closed_does_not_end_the_read_of_the_others(producer: Producer) -> None:
    """Theirs goes on."""
    watched = watch.Watch()
    closed, open_tab = [asyncio.create_task(watched.latest(REQUEST)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closed.cancel()
    producer.reads[0].set_result(overview(at_ms=5))

    assert (await open_tab).at_ms == 5
    assert len(producer.reads) == 1


def seen(*looks: Overview) -> History:
    """Return a history of these looks."""
    history = History()
    for look in looks:
        history.add(look)
    return history


def at(second: float, applied: int, requests: int = 0) -> Overview:
    """Return an overview of a moment, with what was counted until then."""
    outcomes = {**dict.fromkeys(Outcome, 0), Outcome.APPLIED: applied}
    return overview(at_ms=round(second * 1000), outcomes=outcomes, egresses=[egress(requests=requests)])


def test_rates_are_those_between_two_looks() -> None:
    """Of changes by outcome, and of requests by egress: what ends without a request uses nothing of the limit."""
    history = seen(at(0, applied=0, requests=10), at(2, applied=100, requests=14))

    assert history.rates[Outcome.APPLIED] == 50
    assert history.use_per_s == {"north": 2}


def test_a_look_right_after_another_changes_no_rate() -> None:
    """As after an action: some changes of a millisecond say nothing of a second."""
    history = seen(at(0, applied=0), at(2, applied=100), at(2.01, applied=110))

    assert history.rates[Outcome.APPLIED] == 50
    assert len(history.samples) == 2


@pytest.mark.parametrize("looks", [[at(0, applied=9)], [at(0, applied=9), at(60, applied=900)]], ids=["first", "late"])
def test_rates_are_unknown_where_nobody_looked_before(looks: list[Overview]) -> None:
    """They are not zero, nor the mean since the look before."""
    history = seen(*looks)

    assert (history.rates, history.use_per_s) == ({}, {})


def test_charts_have_gaps_for_times_in_which_nobody_looked() -> None:
    """Instead of a line between two looks that are far from each other."""
    finished, *_ = seen(at(0, 0), at(2, 100), at(62, 900), at(64, 902)).charts()

    assert finished["points"]["values"][:2] == [[0, 2, 32, 62, 64], [None, 50, None, None, 1]]


def user_pinned_to(pin: str | None) -> UserStatus:
    """Return a user without changes."""
    return UserStatus(
        user_id="5", paused=False, rate_per_s=None, hold_s=0, slowed=1, refused_code=None, lanes=[], egress=pin
    )


@pytest.mark.parametrize(
    ("pin", "egresses", "said"),
    [
        (None, [egress()], None),
        (None, [egress(workers=0)], "No worker is running"),
        ("south", [egress()], "No worker sends through its egress south"),
        (None, [egress(paused=True)], "Egress north is paused"),
        (None, [egress(paused=True), egress(name="south")], None),
        ("south", [egress(), egress(name="south", trouble="failing")], "Egress south is paused, or sends only probes"),
        (
            None,
            [egress(paused=True), egress(name="n", trouble="throttled")],
            "Every egress that it may use is paused, or",
        ),
    ],
)
def test_a_user_is_told_what_keeps_all_of_its_egresses_from_sending(
    pin: str | None, egresses: list[Any], said: str | None
) -> None:
    """Only those that it may use count, and one that sends is enough."""
    found = obstacle(user_pinned_to(pin), overview(egresses=egresses))

    assert found is None if said is None else str(found).startswith(said)

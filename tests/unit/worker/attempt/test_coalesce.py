"""Coalescing: which changes are sent as one request."""

from __future__ import annotations

from typing import Any

import pytest

from producers import CopySetting, SettingsChange
from producers.contract import keyspace
from producers.contract.codec import decode_change, encode_change
from producers.contract.validation import MAX_SETTINGS, check_change
from tests.support.changes import setting
from tests.support.coalescing import pair
from worker.attempt.coalesce import CoalescedChange, CoalescedRequest, coalesce
from worker.queue.claims import Stored

ACCEPTED_MS = 1_000_000
TTL_MS = 60_000
NOW_MS = ACCEPTED_MS + 1_000


def payload(*settings: CopySetting, coalesce: bool = True, ttl_ms: int = TTL_MS, **changed: Any) -> bytes:
    """Return a stored change of user 1001 and trader t1."""
    fields: dict[str, Any] = {"user_id": "1001", "trader_id": "t1", "settings": list(settings)}
    change = SettingsChange(**(fields | changed))
    return encode_change(change, enqueued_at_ms=ACCEPTED_MS, ttl_ms=ttl_ms, coalesce=coalesce)


def grouped(head: bytes, *coalescable: bytes) -> CoalescedRequest:
    """Return the group of a head, named a, with the changes behind it, named b, c, ..."""
    named = [(chr(ord("b") + number), Stored(each)) for number, each in enumerate(coalescable)]
    return coalesce(CoalescedChange("a", decode_change(head)), named, NOW_MS)


def sent(group: CoalescedRequest) -> dict[str, str | None]:
    return {each.symbol: each.trace_value for each in group.change.settings}


def fates(group: CoalescedRequest) -> dict[str, str | None]:
    """Return the members and their successors, in order."""
    return {member.job_id: member.successor for member in group.members}


def test_a_change_alone_is_sent_unchanged() -> None:
    """It has no successor."""
    group = grouped(payload(pair("A")))

    assert (sent(group), fates(group)) == ({"A": "1"}, {"a": None})


def test_settings_of_other_pairs_are_added_in_the_lane_s_order() -> None:
    """The combined request is valid, and none of the changes is superseded."""
    group = grouped(payload(pair("A", "1")), payload(pair("B", "2")), payload(pair("C", "3")))

    assert list(sent(group).items()) == [("A", "1"), ("B", "2"), ("C", "3")]
    assert fates(group) == {"a": None, "b": None, "c": None}
    check_change(group.change)


def test_a_setting_of_the_same_pair_replaces_the_older_one() -> None:
    """The older change names its successor."""
    group = grouped(payload(pair("A", "1")), payload(pair("A", "2")))

    assert (sent(group), fates(group)) == ({"A": "2"}, {"a": "b", "b": None})


def test_a_pair_is_a_symbol_and_a_product_type() -> None:
    """One symbol in two product types makes two settings."""
    group = grouped(payload(setting()), payload(setting(product_type="USDC-FUTURES")))

    assert len(group.change.settings) == 2
    assert fates(group) == {"a": None, "b": None}


def test_a_change_with_a_setting_left_is_not_superseded() -> None:
    """One of its two pairs is replaced, and the other is sent."""
    group = grouped(payload(pair("A"), pair("B")), payload(pair("A", "2")))

    assert (sent(group), fates(group)) == ({"A": "2", "B": "1"}, {"a": None, "b": None})


def test_a_change_is_superseded_by_the_one_that_replaced_its_last_setting() -> None:
    """Its first setting was replaced earlier, by a change that is not the successor."""
    group = grouped(payload(pair("A"), pair("B")), payload(pair("A", "2")), payload(pair("B", "3")))

    assert (sent(group), fates(group)) == ({"A": "2", "B": "3"}, {"a": "c", "b": None, "c": None})


def test_each_superseded_change_of_a_chain_names_its_successor() -> None:
    """The successor is the next change, not the last of the chain."""
    group = grouped(payload(pair("A", "1")), payload(pair("A", "2")), payload(pair("A", "3")))

    assert (sent(group), fates(group)) == ({"A": "3"}, {"a": "b", "b": "c", "c": None})


def test_one_change_may_supersede_several() -> None:
    """It replaces the only setting of each."""
    group = grouped(payload(pair("A")), payload(pair("B")), payload(pair("A", "2"), pair("B", "2")))

    assert fates(group) == {"a": "c", "b": "c", "c": None}


@pytest.mark.parametrize("count", [MAX_SETTINGS - 1, MAX_SETTINGS, MAX_SETTINGS + 1])
def test_a_request_has_at_most_ten_settings(count: int) -> None:
    """A change that does not fit stays behind, with all after it."""
    coalescable = [payload(pair(f"S{number}")) for number in range(1, count)]

    group = grouped(payload(pair("S0")), *coalescable)

    assert len(group.change.settings) == len(group.members) == min(count, MAX_SETTINGS)
    check_change(group.change)


def test_a_full_request_still_accepts_replacements() -> None:
    """They do not add to the ten settings."""
    head = payload(*(pair(f"S{number}") for number in range(MAX_SETTINGS)))

    group = grouped(head, payload(pair("S3", "9")), payload(pair("S4", "9")))

    assert len(group.members) == 3
    assert (sent(group)["S3"], sent(group)["S4"]) == ("9", "9")


def test_a_change_that_does_not_fit_is_not_overtaken() -> None:
    """A replacement behind it would fit but stays, which keeps the lane's order."""
    head = payload(*(pair(f"S{number}") for number in range(MAX_SETTINGS)))

    group = grouped(head, payload(pair("new")), payload(pair("S0", "9")))

    assert (fates(group), sent(group)["S0"]) == ({"a": None}, "1")


@pytest.mark.parametrize(
    "stranger",
    [
        payload(pair("B"), coalesce=False),
        payload(pair("B"), auto_copy="on"),
        payload(pair("B"), mode="advanced"),
        payload(pair("B"), user_id="1002"),
        payload(pair("B"), trader_id="t2"),
        payload(),
        b"\xc1",
        payload(pair("B"))[:-3],
    ],
    ids=["unasked", "auto copy", "mode", "user", "trader", "invalid", "unreadable", "cut"],
)
def test_a_change_that_cannot_be_coalesced_ends_the_group(stranger: bytes) -> None:
    """The change behind it would fit but stays, too."""
    group = grouped(payload(pair("A")), payload(pair("J")), stranger, payload(pair("C")))

    assert (sent(group), fates(group)) == ({"A": "1", "J": "1"}, {"a": None, "b": None})


def test_a_coalesced_change_may_be_sent_until_its_deadline() -> None:
    """A millisecond before the deadline it is included; at the deadline it is not, and those behind it are."""
    last = payload(pair("B"), ttl_ms=NOW_MS - ACCEPTED_MS + 1)
    past = payload(pair("B"), ttl_ms=NOW_MS - ACCEPTED_MS)

    assert sent(grouped(payload(pair("A")), last, payload(pair("C")))) == {"A": "1", "B": "1", "C": "1"}
    assert sent(grouped(payload(pair("A")), past, payload(pair("C")))) == {"A": "1", "C": "1"}


def test_no_newer_change_takes_the_place_of_one_that_has_expired() -> None:
    """Its settings count, as they did when the request was sent before."""
    nine = payload(*(pair(symbol) for symbol in "ABCDEFGHI"))
    past = payload(pair("J"), ttl_ms=NOW_MS - ACCEPTED_MS)

    group = grouped(nine, past, payload(pair("K")))

    assert len(sent(group)) == 9
    assert group.is_alone
    assert [member.has_expired for member in group.members] == [False, True]


def test_later_changes_are_coalesced_with_a_head_that_did_not_ask() -> None:
    """Only the later change needs the option."""
    group = grouped(payload(pair("A"), coalesce=False), payload(pair("B")))

    assert fates(group) == {"a": None, "b": None}


def test_changes_are_coalesced_only_with_the_same_auto_copy_and_mode() -> None:
    """A request has one value of each for all its settings."""
    rest: dict[str, Any] = {"auto_copy": "on", "mode": "basic"}

    group = grouped(payload(pair("A"), **rest), payload(pair("B"), **rest))

    assert (group.change.auto_copy, group.change.mode, len(group.members)) == ("on", "basic", 2)
    assert (group.change.user_id, group.change.trader_id) == ("1001", "t1")


def of_template(*settings: CopySetting, ttl_ms: int = TTL_MS) -> Stored:
    """Return what is stored of a change of a fan-out, whose content is its batch's."""
    return Stored(payload(*settings, user_id="somebody"), ACCEPTED_MS, ttl_ms)


def test_a_change_of_a_template_is_its_lane_s_user_s() -> None:
    """It has the deadline of its run, and names its batch."""
    change = CoalescedChange.from_stored("x..1001", of_template(pair("A"), ttl_ms=7), keyspace.lane("1001", "t1"))

    assert change.stored.a[0].user_id == "1001"
    assert (change.deadline_ms, change.template_of) == (ACCEPTED_MS + 7, "x")


def test_changes_of_templates_are_coalesced_until_their_deadline() -> None:
    """Of several fan-outs, and with a change that has a content of its own."""
    head = CoalescedChange.from_stored("x..1001", of_template(pair("A")), keyspace.lane("1001", "t1"))
    own, other = Stored(payload(pair("B"))), of_template(pair("A", "2"))
    expired = of_template(pair("C"), ttl_ms=NOW_MS - ACCEPTED_MS)

    group = coalesce(head, [("own", own), ("y..1001", other), ("z..1001", expired)], NOW_MS)

    assert (sent(group), group.change.user_id) == ({"A": "2", "B": "1"}, "1001")
    assert fates(group) == {"x..1001": "y..1001", "own": None, "y..1001": None, "z..1001": None}
    assert group.members[-1].has_expired

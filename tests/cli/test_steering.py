"""`user ...`, `pause`, `resume`, `paused`, `dead ...`."""

from __future__ import annotations

import json

import pytest

from producers import Outcome, Producer
from tests.support.changes import change
from tests.support.copytrade import Copytrade


def enqueue(copytrade: Copytrade, *users: str) -> None:
    """A change for each; its ID is the user's, with an `o` before."""

    async def work(producer: Producer) -> None:
        await producer.enqueue_many([change(user) for user in users], job_id=lambda each: f"o{each.user_id}")

    copytrade.ask(work)


def test_a_user_is_shown_with_lanes_limit_and_pause(copytrade: Copytrade) -> None:
    """For people and as a document."""
    enqueue(copytrade, "1001")
    copytrade("user", "limit", "1001", "2.5")
    copytrade("user", "pause", "1001")

    shown = copytrade("user", "show", "1001").stdout.splitlines()
    to_json = copytrade.json("user", "show", "1001")

    assert shown[:4] == ["user\t1001", "paused\tyes", "limit\t2.5 requests a second", "slowed\tno"]
    assert shown[7].startswith("t1\t1\tno\t")
    assert (to_json["paused"], to_json["ratePerS"], to_json["lanes"][0]["head"]) == (True, 2.5, "o1001")


@pytest.mark.parametrize("rate", ["0", "-5", "nan", "inf", "1e12", "1e-9"])
def test_a_limit_that_is_none_is_refused_and_changes_nothing(copytrade: Copytrade, rate: str) -> None:
    """Exit status 2."""
    copytrade("user", "limit", "1001", "3")

    assert "requests a second" in copytrade.error("user", "limit", "1001", "--", rate, status=2)
    assert copytrade.json("user", "show", "1001")["ratePerS"] == 3


@pytest.mark.parametrize("words", [(), ("5", "--remove"), ("fast",)])
def test_a_limit_is_a_rate_or_its_removal(copytrade: Copytrade, words: tuple[str, ...]) -> None:
    """Exit status 2."""
    assert copytrade.error("user", "limit", "1001", *words, status=2)


def test_a_limit_is_removed(copytrade: Copytrade) -> None:
    """The user has the limit that all have."""
    copytrade("user", "limit", "1001", "3")

    assert copytrade.json("user", "limit", "1001", "--remove") == {"userId": "1001", "ratePerS": None}
    assert copytrade.json("user", "show", "1001")["ratePerS"] is None


def test_what_waits_of_a_user_is_cancelled(copytrade: Copytrade) -> None:
    """Of no other."""
    enqueue(copytrade, "1001", "1002")

    assert copytrade.json("user", "cancel", "1001") == {"userId": "1001", "cancelled": 1, "inFlight": 0}
    assert copytrade.json("result", "o1001", status=1)["outcome"] == "cancelled"
    assert copytrade.json("status", "o1002")["state"] == "queued"


@pytest.mark.parametrize(
    ("words", "kind", "name"),
    [
        (("--user", "1001"), "user", "1001"),
        (("--trader", "t1"), "trader", "t1"),
        (("--egress", "default"), "egress", "default"),
        (("--everything",), "everything", ""),
    ],
)
def test_a_pause_is_listed_until_it_is_ended(
    copytrade: Copytrade, words: tuple[str, ...], kind: str, name: str
) -> None:
    """Pausing and resuming say whether they changed anything."""
    assert copytrade("pause", *words).stdout == "paused\n"
    assert copytrade.json("pause", *words) == {"paused": True, "changed": False}

    (pause,) = copytrade.json("paused")
    assert (pause["kind"], pause["name"]) == (kind, name)
    assert copytrade("paused").stdout.splitlines()[1].startswith(f"{kind}\t{name or '-'}\t20")

    assert copytrade("resume", *words).stdout == "resumed\n"
    assert copytrade("resume", *words).stdout == "was not paused\n"
    assert copytrade.json("paused") == []


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize("words", [(), ("--user", "1", "--everything"), ("--user", "two words"), ("--trader", "")])
def test_a_pause_is_of_just_one_thing(copytrade: Copytrade, command: str, words: tuple[str, ...]) -> None:
    """Everything is never meant by saying nothing."""
    assert copytrade.error(command, *words, status=2)
    assert copytrade.json("paused") == []


def kill(copytrade: Copytrade) -> None:
    """Three changes that ended without effect, and one that was applied."""
    enqueue(copytrade, "1001", "1002", "1003", "1004")
    endings = {"1001": Outcome.REJECTED, "1002": Outcome.UNAUTHORIZED, "1003": Outcome.EXHAUSTED}
    copytrade.end_all(endings, code="40034", message="no \x1b]0;such\x07 trader")


def test_dead_letters_are_listed_oldest_first(copytrade: Copytrade) -> None:
    """All, or by outcome or user."""
    kill(copytrade)

    header, *rows = [line.split("\t") for line in copytrade("dead", "list").stdout.splitlines()]

    assert header == ["user", "trader", "outcome", "code", "message", "ended", "job"]
    assert [row[0] for row in rows] == ["1001", "1002", "1003"]
    assert rows[0][4] == r"no \x1b]0;such\x07 trader"
    assert [letter["jobId"] for letter in copytrade.json_lines("dead", "list", "--outcome", "rejected")] == ["o1001"]
    assert [letter["jobId"] for letter in copytrade.json_lines("dead", "list", "--user", "1002")] == ["o1002"]
    assert len(copytrade.json_lines("dead", "list", "--limit", "2")) == 2


def test_a_dead_letter_is_shown_with_what_it_asked_for(copytrade: Copytrade) -> None:
    """As a document it can be enqueued again."""
    kill(copytrade)

    shown = copytrade("dead", "show", "o1001").stdout
    to_json = copytrade.json("dead", "show", "o1001")

    assert "outcome\trejected\n" in shown
    assert "symbol=BTCUSDT" in shown
    assert to_json["result"]["code"] == "40034"
    copytrade("enqueue", "-", stdin=json.dumps(to_json["change"]))


@pytest.mark.parametrize("command", ["show", "replay", "drop"])
def test_a_dead_letter_that_is_not_there_has_status_4(copytrade: Copytrade, command: str) -> None:
    """It did not end badly, was replayed or dropped, or has expired."""
    kill(copytrade)

    assert "o1004" in copytrade.error("dead", command, "o1004", status=4)


def test_a_dead_letter_is_replayed_under_a_new_id(copytrade: Copytrade) -> None:
    """And is none any more."""
    kill(copytrade)

    to_json = copytrade.json("dead", "replay", "o1001")
    (pair,) = to_json["replayed"]

    assert (pair["jobId"], to_json["refused"]) == ("o1001", [])
    assert copytrade.json("status", pair["newJobId"])["state"] == "queued"
    assert len(copytrade.json_lines("dead", "list")) == 2
    assert len(copytrade("dead", "replay", "--all").stdout.splitlines()) == 3


def test_dead_letters_are_dropped(copytrade: Copytrade) -> None:
    """By what they have in common, or all."""
    kill(copytrade)

    assert copytrade.json("dead", "drop", "--outcome", "unauthorized") == {"dropped": 1}
    assert copytrade("dead", "drop", "--all").stdout == "2 dropped\n"
    assert copytrade.json_lines("dead", "list") == []


@pytest.mark.parametrize("command", ["replay", "drop"])
@pytest.mark.parametrize("words", [(), ("o1001", "--all"), ("o1001", "--user", "1001"), ("--all", "--user", "1001")])
def test_which_dead_letters_are_meant_must_be_said(copytrade: Copytrade, command: str, words: tuple[str, ...]) -> None:
    """Exit status 2, and nothing is changed."""
    kill(copytrade)

    assert "--all" in copytrade.error("dead", command, *words, status=2)
    assert len(copytrade.json_lines("dead", "list")) == 3

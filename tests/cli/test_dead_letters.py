"""`dead list|show|replay|drop`."""

from __future__ import annotations

import json

import pytest

from producers import Outcome
from producers.cli import shared_options
from tests.support.copytrade import Copytrade


def kill(copytrade: Copytrade) -> None:
    """Make three dead letters, and one applied change."""
    copytrade.enqueue("1001", "1002", "1003", "1004")
    endings = {"1001": Outcome.REJECTED, "1002": Outcome.UNAUTHORIZED, "1003": Outcome.EXHAUSTED}
    copytrade.end_all(endings, code="40034", message="no \x1b]0;such\x07 trader")


def test_dead_letters_are_listed_oldest_first(copytrade: Copytrade) -> None:
    """Outcome, user and limit narrow the list, and control characters are escaped."""
    kill(copytrade)

    header, *rows = [line.split("\t") for line in copytrade("dead", "list").stdout.splitlines()]

    assert header == ["user", "trader", "outcome", "code", "message", "ended", "job"]
    assert [row[0] for row in rows] == ["1001", "1002", "1003"]
    assert rows[0][4] == r"no \x1b]0;such\x07 trader"
    assert [letter["jobId"] for letter in copytrade.json_lines("dead", "list", "--outcome", "rejected")] == ["o1001"]
    assert [letter["jobId"] for letter in copytrade.json_lines("dead", "list", "--user", "1002")] == ["o1002"]
    assert len(copytrade.json_lines("dead", "list", "--trader", "t1", "--code", "40034")) == 3
    assert copytrade.json_lines("dead", "list", "--code", "40017") == []
    assert copytrade.json_lines("dead", "list", "--trader", "t2") == []
    assert len(copytrade.json_lines("dead", "list", "--limit", "2")) == 2


def test_a_dead_letter_is_shown_with_its_change(copytrade: Copytrade) -> None:
    """The JSON document can be enqueued again."""
    kill(copytrade)

    shown = copytrade("dead", "show", "o1001").stdout
    document = copytrade.json("dead", "show", "o1001")

    assert "outcome\trejected\n" in shown
    assert "symbol=BTCUSDT" in shown
    assert document["result"]["code"] == "40034"
    copytrade("enqueue", "-", stdin=json.dumps(document["change"]))


@pytest.mark.parametrize("command", ["show", "replay", "drop"])
def test_an_unknown_dead_letter_has_status_4(copytrade: Copytrade, command: str) -> None:
    """The change did not fail, was replayed or dropped, or has expired."""
    kill(copytrade)

    assert "o1004" in copytrade.error("dead", command, "o1004", status=4)


def test_a_dead_letter_is_replayed_under_a_new_id(copytrade: Copytrade) -> None:
    """The replayed letter leaves the list."""
    kill(copytrade)

    document = copytrade.json("dead", "replay", "o1001")
    (pair,) = document["replayed"]

    assert (pair["jobId"], document["refused"]) == ("o1001", [])
    assert copytrade.json("status", pair["newJobId"])["state"] == "queued"
    assert len(copytrade.json_lines("dead", "list")) == 2
    assert len(copytrade("dead", "replay", "--all").stdout.splitlines()) == 3


def test_dead_letters_are_dropped(copytrade: Copytrade) -> None:
    """The selection is an outcome or all."""
    kill(copytrade)

    assert copytrade.json("dead", "drop", "--outcome", "unauthorized") == {"dropped": 1}
    assert copytrade("dead", "drop", "--all", "--yes").stdout == "2 dropped\n"
    assert copytrade.json_lines("dead", "list") == []


def test_dropping_all_asks_first(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal it refuses, and names --yes. An answer other than yes drops nothing."""
    kill(copytrade)

    assert "add --yes" in copytrade.error("dead", "drop", "--all", stdin="y\n", status=2)
    assert len(copytrade.json_lines("dead", "list")) == 3
    monkeypatch.setattr(shared_options, "is_interactive", lambda: True)
    assert "Delete all dead letters? [y/N]" in copytrade("dead", "drop", "--all", stdin="n\n", status=130).stderr
    assert len(copytrade.json_lines("dead", "list")) == 3
    assert copytrade("dead", "drop", "--all", stdin="y\n").stdout == "3 dropped\n"


@pytest.mark.parametrize("command", ["replay", "drop"])
@pytest.mark.parametrize("words", [(), ("o1001", "--all"), ("o1001", "--user", "1001"), ("--all", "--user", "1001")])
def test_replay_and_drop_need_a_selection(copytrade: Copytrade, command: str, words: tuple[str, ...]) -> None:
    """No selection and two at once both have status 2 and change nothing."""
    kill(copytrade)

    assert "--all" in copytrade.error("dead", command, *words, status=2)
    assert len(copytrade.json_lines("dead", "list")) == 3

"""`user ...`, `pause`, `resume`, `paused`."""

from __future__ import annotations

import pytest

from tests.support.copytrade import Copytrade


def test_a_user_is_shown_with_lanes_limit_and_pause(copytrade: Copytrade) -> None:
    """The table and the JSON document agree."""
    copytrade.enqueue("1001")
    copytrade("user", "limit", "1001", "2.5")
    copytrade("user", "pause", "1001")

    shown = copytrade("user", "show", "1001").stdout.splitlines()
    document = copytrade.json("user", "show", "1001")
    jobs = copytrade("user", "show", "1001", "--changes", "5").stdout.splitlines()

    assert shown[:3] == ["user\t1001", "paused\tyes", "limit\t2.5 requests a second"]
    assert shown[3:6] == ["requests\tnone lately", "next slot\tnow", "slowed\tno"]
    assert shown[10].startswith("t1\t1\tno\t")
    assert jobs[-1] == "t1\to1001"
    assert (document["paused"], document["ratePerS"], document["lanes"][0]["head"]) == (True, 2.5, "o1001")


@pytest.mark.parametrize("rate", ["0", "-5", "nan", "inf", "1e12", "1e-9"])
def test_an_invalid_limit_is_rejected_and_changes_nothing(copytrade: Copytrade, rate: str) -> None:
    """The bounds exclude zero, negative, infinite, huge and tiny rates."""
    copytrade("user", "limit", "1001", "3")

    assert f"must be a number from 0.01 to 1000; got '{rate}'" in copytrade.error(
        "user", "limit", "1001", "--", rate, status=2
    )
    assert copytrade.json("user", "show", "1001")["ratePerS"] == 3


@pytest.mark.parametrize("words", [(), ("5", "--remove"), ("fast",)])
def test_a_limit_takes_either_a_rate_or_its_removal(copytrade: Copytrade, words: tuple[str, ...]) -> None:
    """Neither, both, or a word instead of a number has status 2."""
    assert copytrade.error("user", "limit", "1001", *words, status=2)


def test_a_limit_is_removed(copytrade: Copytrade) -> None:
    """The default limit applies to the user again."""
    copytrade("user", "limit", "1001", "3")

    assert copytrade.json("user", "limit", "1001", "--remove") == {"userId": "1001", "ratePerS": None}
    assert copytrade.json("user", "show", "1001")["ratePerS"] is None


def test_queued_changes_of_a_user_are_cancelled(copytrade: Copytrade) -> None:
    """The changes of other users stay queued."""
    copytrade.enqueue("1001", "1002")

    assert copytrade.json("user", "cancel", "1001") == {"userId": "1001", "cancelled": 1, "inFlight": 0}
    assert copytrade.json("result", "o1001", status=1)["outcome"] == "cancelled"
    assert copytrade.json("status", "o1002")["state"] == "queued"


def test_all_that_is_kept_of_a_user_is_deleted_after_a_question(copytrade: Copytrade) -> None:
    """Without a terminal it needs --yes. Results of others stay."""
    copytrade.enqueue("1001", "1002")
    copytrade.end_all()
    copytrade("user", "limit", "1001", "3")

    assert "add --yes" in copytrade.error("user", "forget", "1001", status=2)
    shown = copytrade("user", "forget", "1001", "--yes").stdout.splitlines()
    again = copytrade.json("user", "forget", "1001", "--yes")

    assert shown[2:] == [
        "results deleted\t1",
        "dead letters deleted\t0",
        "batch entries deleted\t0",
        "settings deleted\trate",
    ]
    assert (again["complete"], again["results"], again["settings"]) == (True, 0, [])
    assert copytrade.json("result", "o1002")["outcome"] == "applied"
    assert "o1001" in copytrade.error("result", "o1001", status=4)


def test_forgetting_a_user_with_a_change_in_flight_is_not_complete(copytrade: Copytrade) -> None:
    """The exit status says so, and the message that it is to be run again."""
    copytrade.enqueue("1001")
    copytrade.claim_all()

    run = copytrade("user", "forget", "1001", "--yes", status=1)

    assert "not complete: user 1001 has 1 change in flight; run it again" in run.stderr


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
def test_a_pause_takes_exactly_one_scope(copytrade: Copytrade, command: str, words: tuple[str, ...]) -> None:
    """An omitted scope must never mean everything."""
    said = copytrade.error(command, *words, status=2)

    assert "--user" in said or "--trader" in said
    assert copytrade.json("paused") == []

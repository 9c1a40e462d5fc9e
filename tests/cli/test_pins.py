"""`user pin`, `user unpin`, `user pins`."""

from __future__ import annotations

import pytest

from producers import Producer, QueueUnavailable
from producers.cli import pins
from tests.support.copytrade import Copytrade


def test_a_user_is_pinned_shown_listed_and_unpinned(copytrade: Copytrade) -> None:
    """The list can be one egress's."""
    assert copytrade.json("user", "pin", "1001", "near") == {"userId": "1001", "egress": "near"}
    copytrade("user", "pin", "1002", "far")

    assert "egress\tnear only" in copytrade("user", "show", "1001").stdout
    assert copytrade.json("user", "show", "1001")["egress"] == "near"
    assert copytrade("user", "pins", "--egress", "near").stdout == "user\tegress\n1001\tnear\n"
    assert len(copytrade.json_lines("user", "pins")) == 2

    assert copytrade("user", "unpin", "1001").stdout == "unpinned\n"
    assert copytrade("user", "unpin", "1001").stdout == "was not pinned\n"
    assert copytrade.json_lines("user", "pins") == [{"userId": "1002", "egress": "far"}]


def test_an_egress_without_a_live_worker_is_warned_of(copytrade: Copytrade) -> None:
    """A name that is misspelt would hold its users' changes back. They are pinned all the same."""
    warning = "warning: no worker of far, near is alive: the changes of users that are pinned there wait\n"
    text = "user_id,egress\n1001,near\n1002,\n1003,far\n"

    assert copytrade("user", "pin", "--csv", "-", stdin=text).stderr == warning
    result = copytrade("--json", "user", "pin", "1001", "near")

    assert result.stderr == '{"egressesWithoutWorker": ["near"]}\n'
    assert copytrade.json("user", "show", "1001")["egress"] == "near"


@pytest.mark.parametrize(
    "text",
    [
        "user_id,egress\n1001,near\n1002,\n1003,far\n",
        "\ufeffEgress;User ID\r\nnear;1001\r\n\r\n;1002\r\nfar;1003\r\n",
    ],
)
def test_users_of_a_csv_file_are_pinned_and_unpinned(
    copytrade: Copytrade, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As spreadsheets write it; in chunks."""
    monkeypatch.setattr(pins, "CHUNK_SIZE", 2)
    copytrade("user", "pin", "1002", "far")

    assert copytrade.json("user", "pin", "--csv", "-", stdin=text) == {"users": 3, "changed": 3}
    assert sorted(copytrade("user", "pins").stdout.splitlines()[1:]) == ["1001\tnear", "1003\tfar"]


def test_a_file_with_invalid_lines_pins_nobody(copytrade: Copytrade) -> None:
    """Each is listed with its number."""
    text = "userId,egress\n1001,near\n1 2,near\n,near\n1003,f ar\n1004\n1001,far\n"

    result = copytrade("user", "pin", "--csv", "-", stdin=text, status=2)

    assert result.stderr.splitlines() == [
        'line 3: userId: must be 1 to 128 printable ASCII characters without spaces; got "1 2"',
        "line 4: userId: is missing",
        'line 5: egress: must be 1 to 128 printable ASCII characters without spaces; got "f ar"',
        'line 6: must have 2 cells like the header; got "1004"',
        'line 7: userId: duplicate user; first on line 2; got "1001"',
        "copytrade: 5 of 6 lines cannot be used, and nobody was pinned; correct them",
    ]
    assert copytrade.json_lines("user", "pins") == []
    faults = copytrade.json("user", "pin", "--csv", "-", stdin=text, status=2)
    assert (faults["changed"], [fault["line"] for fault in faults["faults"]]) == (0, [3, 4, 5, 6, 7])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty; its first line must name the columns user_id and egress"),
        ("1001,near\n", "line 1 must name the columns, user_id and egress and no others; got '1001, near'"),
        (
            "user_id,egress,note\n",
            "line 1 must name the columns, user_id and egress and no others; got ",
        ),
    ],
)
def test_a_file_without_its_two_columns_is_refused(copytrade: Copytrade, text: str, problem: str) -> None:
    """Else a wrong file would pin somebody."""
    assert problem in copytrade.error("user", "pin", "--csv", "-", stdin=text, status=2)


@pytest.mark.parametrize("words", [(), ("1001",), ("1001", "near", "--csv", "-"), ("1001", "--csv", "-")])
def test_a_pin_takes_a_user_and_an_egress_or_a_file(copytrade: Copytrade, words: tuple[str, ...]) -> None:
    """Not less, and not both."""
    assert "give either a user and an egress, or --csv FILE" in copytrade.error("user", "pin", *words, status=2)


def test_an_error_amid_a_file_says_how_many_users_are_pinned(
    copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is run again then."""
    monkeypatch.setattr(pins, "CHUNK_SIZE", 1)
    works = Producer.pin_users

    async def breaks(producer: Producer, wanted: dict[str, str | None]) -> int:
        if "1002" in wanted:
            raise QueueUnavailable("away")
        return await works(producer, wanted)

    monkeypatch.setattr(Producer, "pin_users", breaks)
    message = copytrade.error("user", "pin", "--csv", "-", stdin="user_id,egress\n1001,a\n1002,a\n", status=3)

    assert message.endswith("; pinned 1 of 2 users; run it again, which is safe")

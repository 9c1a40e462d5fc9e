"""`fan-out`: what is sent, what is rejected, what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from producers import Outcome, Progress
from tests.support.copytrade import FLAGS, Copytrade

Csv = Callable[..., str]

NO_WAIT = (*FLAGS, "--no-wait")


def batches(copytrade: Copytrade) -> list[Progress]:
    return copytrade.ask(lambda producer: producer.batches())


def test_each_follower_of_a_csv_gets_the_same_change(copytrade: Copytrade, followers_csv: Csv) -> None:
    """The batch's ID is printed with the command that follows it."""
    shown = copytrade("fan-out", followers_csv("1001", "1002", "1003"), *NO_WAIT)
    (batch,) = batches(copytrade)

    assert shown.stdout == f"batch\t{batch.batch_id}\naccepted\t3\n"
    assert f"copytrade batch watch {batch.batch_id}" in shown.stderr
    assert (batch.total, batch.sealed, batch.priority) == (3, True, "bulk")


def test_settings_come_from_a_file_and_flags_replace_what_it_says(
    copytrade: Copytrade, followers_csv: Csv, settings_file: str
) -> None:
    """A dry run shows the merged changes as the exchange would get them."""
    lines = copytrade.json_lines(
        "fan-out", followers_csv("1001", "1002"), "--settings", settings_file, "--trace-value", "7", "--dry-run"
    )

    assert [line["userId"] for line in lines] == ["1001", "1002"]
    assert all(line["settings"][0]["traceValue"] == "7" for line in lines)


def test_a_dry_run_writes_nothing_and_needs_no_redis(followers_csv: Csv) -> None:
    """It shows the first five changes and counts the others."""
    copytrade = Copytrade("redis://127.0.0.1:1/0")

    shown = copytrade("fan-out", followers_csv(*map(str, range(1001, 1101))), *FLAGS, "--dry-run")

    assert len(shown.stdout.splitlines()) == 5
    assert "... and 95 more" in shown.stderr
    assert "100 changes would be sent; nothing was written" in shown.stderr


def test_columns_of_a_row_replace_the_common_settings(copytrade: Copytrade, followers_csv: Csv) -> None:
    """Each row may have its own trader and trace value."""
    path = followers_csv("1001,t1,5", "1002,t2,6", header="user_id,trader_id,trace_value")

    copytrade("fan-out", path, *NO_WAIT, "--batch-id", "b")

    assert copytrade.json("user", "show", "1002")["lanes"][0]["traderId"] == "t2"
    assert copytrade.json("status", "b..0")["state"] == "queued"


@pytest.mark.parametrize("stdin", ["user_id\n1001\n1002\n", "1001\n1002\n", '{"userId":"1001"}\n"1002"\n'])
def test_followers_come_from_standard_input_too(copytrade: Copytrade, stdin: str) -> None:
    """The format is detected: CSV, plain IDs or JSON lines."""
    assert copytrade.json("fan-out", "-", *NO_WAIT, stdin=stdin)["accepted"] == 2


def test_a_malformed_row_is_named_and_nothing_is_sent(copytrade: Copytrade, followers_csv: Csv) -> None:
    """Each bad line is listed: a space, a repeated user, a rounded ID."""
    path = followers_csv("1001", "two words", "1001", "1003", "1.5E+9")

    shown = copytrade("fan-out", path, *NO_WAIT, status=2)

    lines = shown.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [[f"line {line}", "userId"] for line in (3, 4, 6)]
    assert "duplicate user; first on line 2" in lines[1]
    assert "3 of 5 lines cannot be used, and nothing was sent" in lines[-1]
    assert shown.stdout == ""
    assert batches(copytrade) == []


def test_valid_rows_are_sent_without_malformed_ones_if_asked_for(copytrade: Copytrade, followers_csv: Csv) -> None:
    """Exit status 1 reports that the file was not accepted as a whole."""
    path = followers_csv("1001", "two words", "1003")

    shown = copytrade("fan-out", path, *NO_WAIT, "--good-rows-only", status=1)

    assert "line 3: userId: " in shown.stderr
    assert "not accepted\t1" in shown.stdout
    assert [batch.total for batch in batches(copytrade)] == [2]


def test_with_json_every_malformed_row_is_reported(copytrade: Copytrade, followers_csv: Csv) -> None:
    """Without it, the first twenty and the number of the others."""
    path = followers_csv("1000", *(f"bad {number}" for number in range(100)))

    ended = copytrade("fan-out", path, *NO_WAIT, "--json", status=2)
    document = json.loads(ended.stdout)
    shown = copytrade("fan-out", path, *NO_WAIT, status=2).stderr

    assert json.loads(ended.stderr)["error"] == "BadInput"
    assert (document["given"], document["accepted"], document["bad"], len(document["faults"])) == (101, 0, 100, 100)
    assert document["faults"][0] == {
        "line": 3,
        "field": "userId",
        "rule": "must be 1 to 128 printable ASCII characters without spaces",
        "value": '"bad 0"',
    }
    assert "... and 80 more invalid lines" in shown


def test_control_characters_of_a_bad_row_do_not_reach_the_terminal(copytrade: Copytrade) -> None:
    """The error message escapes the rejected value, and bytes that are not UTF-8 do no harm."""
    shown = copytrade("fan-out", "-", *NO_WAIT, stdin=b"user_id\n\x1b[31m\n\xff\n", status=2)

    assert "\x1b" not in shown.output


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        ((), "user_id\n1001\n", "for every follower: traderId: "),
        (FLAGS, "user,trader\n1,2\n", "line 1 must name the columns"),
        (FLAGS, "user_id\n", "the file contains no followers"),
        (FLAGS, "", "the file contains no followers"),
        (FLAGS, '["1001"]', "jq -c"),
        (("--settings", "-"), "user_id\n1001\n", "cannot both come from standard input"),
        ((*NO_WAIT, "--batch-id", "a/b"), "1001\n", "--batch-id: must be"),
        ((*NO_WAIT, "--batch-id", ""), "1001\n", "--batch-id: must be"),
        ((*NO_WAIT, "--ttl", "0"), "1001\n", "Invalid value for '--ttl': must be a number, above 0"),
        ((*FLAGS, "--good-rows-only"), "user_id\na b\n", "no line is valid"),
        ((*FLAGS, "--timeout", "-1"), "1001\n", "--timeout"),
    ],
)
def test_malformed_arguments_are_one_line_with_status_2(
    copytrade: Copytrade, words: tuple[str, ...], stdin: str, said: str
) -> None:
    """No batch is begun."""
    shown = copytrade("fan-out", "-", *words, stdin=stdin, status=2)

    assert said in shown.stderr.splitlines()[-1]
    assert batches(copytrade) == []


def test_the_same_command_again_adds_only_what_is_missing(copytrade: Copytrade, followers_csv: Csv) -> None:
    """The batch ID makes the command idempotent."""
    command = ("fan-out", followers_csv("1001", "1002"), *NO_WAIT, "--batch-id", "july")

    first, again = copytrade.json(*command), copytrade.json(*command)

    assert (first["accepted"], first["alreadyThere"]) == (2, 0)
    assert (again["accepted"], again["alreadyThere"]) == (0, 2)
    assert copytrade(*command).stdout == "batch\tjuly\naccepted\t0\nalready there\t2\n"


@pytest.mark.parametrize("other", [("--trace-value", "9"), ("--trader", "t9")])
def test_a_batch_id_with_other_content_is_rejected(
    copytrade: Copytrade, followers_csv: Csv, other: tuple[str, ...]
) -> None:
    """Other settings or another trader have status 2, and the batch is unchanged."""
    command = ("fan-out", followers_csv("1001", "1002"), *NO_WAIT, "--batch-id", "july")
    copytrade(*command)

    assert "batch july: it was begun with other content" in copytrade.error(*command, *other, status=2)
    assert batches(copytrade)[0].total == 2


def test_rows_whose_lane_is_full_are_named_by_their_lines(
    copytrade: Copytrade, followers_csv: Csv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are accepted."""
    monkeypatch.setenv("COPYTRADE_LANE_LIMIT", "1")
    copytrade("enqueue", "--user", "1002", *FLAGS)

    document = copytrade.json("fan-out", followers_csv("1001", "", "1002", "1003"), *NO_WAIT, status=1)

    assert (document["accepted"], document["bad"]) == (2, 1)
    assert (document["faults"][0]["line"], "lane" in document["faults"][0]["rule"]) == (4, True)


def test_waiting_ends_with_status_5_at_its_time_out(copytrade: Copytrade, followers_csv: Csv) -> None:
    """The batch continues."""
    shown = copytrade("fan-out", followers_csv("1001"), *FLAGS, "--timeout", "0.05", status=5)

    assert "(0 of 1 have ended); it continues" in shown.stderr
    assert batches(copytrade)[0].queued == 1


@pytest.mark.parametrize(
    ("outcome", "status", "hint"),
    [(Outcome.APPLIED, 0, ""), (Outcome.REJECTED, 1, "copytrade batch results --failed july")],
)
def test_after_waiting_the_status_says_whether_all_was_applied(
    copytrade: Copytrade, followers_csv: Csv, outcome: Outcome, status: int, hint: str
) -> None:
    """A failure adds the command that lists the failed changes."""
    command = ("fan-out", followers_csv("1001", "1002"), *FLAGS, "--batch-id", "july")
    copytrade(*command, "--no-wait")
    copytrade.end_all({"1002": outcome})

    shown = copytrade(*command, status=status)

    assert "ended\t" in shown.stdout
    assert hint in shown.stderr
    assert copytrade.json(*command, status=status)["progress"]["complete"] is True


def test_a_file_that_changes_between_check_and_submission_is_rejected(
    copytrade: Copytrade, followers_csv: Csv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The added row was never validated."""
    path = followers_csv("1001", "1002")
    connect = Copytrade.__call__

    def grow(*_: object) -> None:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("1003\n")

    monkeypatch.setattr("producers.cli.fan_out._print_row_errors", grow)

    shown = connect(copytrade, "fan-out", path, *NO_WAIT, "--batch-id", "july", status=2)

    assert "the file was changed while it was read" in shown.stderr
    assert "--batch-id july adds only what is missing" in shown.stderr

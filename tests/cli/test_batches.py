"""`batch list|show|watch|results|cancel|retry-failed`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from producers import Batch, Outcome, Producer
from producers.contract.wording import plural
from tests.support.changes import change
from tests.support.copytrade import Copytrade

USERS = ("1001", "1002", "1003")
ENDINGS = {"1002": Outcome.REJECTED, "1003": Outcome.UNAUTHORIZED}


def begin(copytrade: Copytrade, batch_id: str = "july") -> None:
    async def work(producer: Producer) -> Batch:
        return await producer.fan_out([change(user) for user in USERS], batch_id=batch_id)

    copytrade.ask(work)


def end(copytrade: Copytrade, batch_id: str = "july") -> None:
    """Make a batch of three changes, one of which was applied."""
    begin(copytrade, batch_id)
    copytrade.end_all(ENDINGS)


def test_batches_are_listed_newest_first(copytrade: Copytrade) -> None:
    """A table has one row per batch, and JSON has one document per batch up to the limit."""
    end(copytrade, "a")
    begin(copytrade, "b")

    header, *rows = [line.split("\t") for line in copytrade("batch", "list").stdout.splitlines()]

    assert header == ["batch", "state", "priority", "total", "ended", "outcomes", "created"]
    assert [row[:5] for row in rows] == [["b", "running", "bulk", "3", "0"], ["a", "complete", "bulk", "3", "3"]]
    assert rows[1][5] == "1 applied, 1 rejected, 1 unauthorized"
    assert [line["batchId"] for line in copytrade.json_lines("batch", "list", "--limit", "1")] == ["b"]


def test_without_batches_only_the_header_is_listed(copytrade: Copytrade) -> None:
    """With --json, nothing is printed."""
    assert len(copytrade("batch", "list").stdout.splitlines()) == 1
    assert copytrade.json_lines("batch", "list") == []


def test_a_batch_is_shown_with_its_progress(copytrade: Copytrade) -> None:
    """The table and the JSON document agree."""
    begin(copytrade)

    facts = dict(line.split("\t") for line in copytrade("batch", "show", "july").stdout.splitlines())

    assert (facts["state"], facts["total"], facts["queued"]) == ("running", "3", "3")
    assert copytrade.json("batch", "show", "july")["queued"] == 3


@pytest.mark.parametrize("command", ["show", "watch", "results", "cancel", "retry-failed"])
def test_an_unknown_batch_has_status_4(copytrade: Copytrade, command: str) -> None:
    """The batch was never begun, or has expired."""
    assert "nobody" in copytrade.error("batch", command, "nobody", status=4)


@pytest.mark.parametrize("command", ["show", "watch", "results", "cancel", "retry-failed"])
def test_a_malformed_batch_id_has_status_2(copytrade: Copytrade, command: str) -> None:
    """The message names the field and its rule."""
    assert "BATCH_ID: must be" in copytrade.error("batch", command, "a/b", status=2)


def test_watching_a_complete_batch_ends_at_once_with_status_1_unless_all_was_applied(copytrade: Copytrade) -> None:
    """Two of the three changes here failed."""
    end(copytrade)

    assert "outcomes\t1 applied, 1 rejected, 1 unauthorized" in copytrade("batch", "watch", "july", status=1).stdout
    assert [line["complete"] for line in copytrade.json_lines("batch", "watch", "july", status=1)] == [True]


def test_watching_ends_with_status_5_at_its_time_out(copytrade: Copytrade) -> None:
    """The message has the number of changes that have ended."""
    begin(copytrade)

    assert "(0 of 3 have ended)" in copytrade.error("batch", "watch", "july", "--timeout", "0", status=5)


def test_results_are_shown_as_a_table(copytrade: Copytrade) -> None:
    """Tab-separated in a pipe; standard error says that there are no more."""
    end(copytrade)

    shown = copytrade("batch", "results", "july")
    header, *rows = [line.split("\t") for line in shown.stdout.splitlines()]

    assert header[:3] == ["user", "trader", "outcome"]
    assert {row[0]: row[2] for row in rows} == {"1001": "applied", **ENDINGS}
    assert "3 results; the batch is complete" in shown.stderr


@pytest.mark.parametrize(
    ("words", "users"),
    [(("--failed",), {"1002", "1003"}), (("--outcome", "rejected"), {"1002"}), (("--outcome", "applied"), {"1001"})],
)
def test_results_are_filtered_by_outcome(copytrade: Copytrade, words: tuple[str, ...], users: set[str]) -> None:
    """--failed selects every outcome except applied. The number is of those that were selected."""
    end(copytrade)

    assert {line["userId"] for line in copytrade.json_lines("batch", "results", "july", *words)} == users
    assert f"{plural(len(users), 'matching result')}; the" in copytrade("batch", "results", "july", *words).stderr


def test_results_are_exported_as_csv_and_json_lines(copytrade: Copytrade, tmp_path: Path) -> None:
    """A file and standard output get the same results in the same order."""
    end(copytrade)
    output = tmp_path / "results.csv"

    copytrade("batch", "results", "july", "--format", "csv", "--output", str(output))
    printed = copytrade("batch", "results", "july", "--format", "jsonl").stdout

    rows = list(csv.DictReader(io.StringIO(output.read_text(encoding="utf-8"))))
    assert {row["userId"]: row["outcome"] for row in rows} == {"1001": "applied", **ENDINGS}
    assert [json.loads(line)["jobId"] for line in printed.splitlines()] == [row["jobId"] for row in rows]


def test_an_export_of_failures_can_be_fanned_out_again(copytrade: Copytrade, tmp_path: Path) -> None:
    """Its columns name the users and traders; --ignore-other-columns skips the rest."""
    end(copytrade)
    output = tmp_path / "failed.csv"
    copytrade("batch", "results", "july", "--failed", "--format", "csv", "--output", str(output))

    flags = ("--symbol", "BTCUSDT", "--product-type", "USDT-FUTURES", "--margin-type", "trader", "--lever-type")
    again = copytrade.json_lines(
        *("fan-out", str(output), *flags, "trader", "--trace-type", "percent"), *("--ignore-other-columns", "--dry-run")
    )

    assert {(line["userId"], line["traderId"]) for line in again} == {("1002", "t1"), ("1003", "t1")}


def test_results_are_resumed_from_the_cursor_on_standard_error(copytrade: Copytrade) -> None:
    """Standard output holds results only; a cursor at the end yields none."""
    begin(copytrade)
    first = copytrade("batch", "results", "july", "--json")
    position = json.loads(first.stderr)
    copytrade.end_all(ENDINGS)
    second = copytrade("batch", "results", "july", "--after", position["cursor"], "--json")
    third = copytrade("batch", "results", "july", "--after", json.loads(second.stderr)["cursor"])

    assert (first.stdout, position["complete"]) == ("", False)
    assert len(second.stdout.splitlines()) == 3
    assert json.loads(second.stderr)["complete"] is True
    assert "0 results" in third.stderr


@pytest.mark.parametrize("cursor", ["x", "", "0-0", "july:0", "-1"])
def test_a_malformed_cursor_has_status_2(copytrade: Copytrade, cursor: str) -> None:
    """An empty cursor is malformed too, and does not mean the start."""
    end(copytrade)

    assert copytrade.error("batch", "results", "july", "--after", cursor, status=2)


def test_a_cursor_of_another_batch_is_rejected(copytrade: Copytrade) -> None:
    """It would silently skip results."""
    end(copytrade, "a")
    end(copytrade, "b")
    cursor = json.loads(copytrade("batch", "results", "a", "--json").stderr)["cursor"]

    assert copytrade.error("batch", "results", "b", "--after", cursor, status=2)


def test_an_unknown_batch_leaves_the_output_file_unchanged(copytrade: Copytrade, tmp_path: Path) -> None:
    """A mistyped ID must not overwrite an earlier export."""
    output = tmp_path / "results.csv"
    output.write_text("precious", encoding="utf-8")

    copytrade.error("batch", "results", "nobody", "--output", str(output), status=4)

    assert output.read_text(encoding="utf-8") == "precious"


def test_an_export_without_results_is_a_header(copytrade: Copytrade) -> None:
    """A program that reads the CSV still finds its columns."""
    begin(copytrade)

    assert copytrade("batch", "results", "july", "--format", "csv").stdout.startswith("userId,traderId,")


def test_an_unwritable_file_is_one_line_with_status_2(copytrade: Copytrade) -> None:
    """The operating system's reason is printed without a traceback."""
    end(copytrade)

    assert "No such file" in copytrade.error("batch", "results", "july", "--output", "/no/such/dir/file", status=2)


def test_following_the_results_of_a_complete_batch_ends(copytrade: Copytrade) -> None:
    """No further result can arrive, so --follow returns after the third."""
    end(copytrade)

    assert len(copytrade.json_lines("batch", "results", "july", "--follow")) == 3


def test_a_batch_is_cancelled(copytrade: Copytrade) -> None:
    """Queued changes end as cancelled; a second cancellation finds none."""
    begin(copytrade)

    assert copytrade.json("batch", "cancel", "july") == {"batchId": "july", "cancelled": 3, "inFlight": 0}
    assert copytrade("batch", "cancel", "july").stdout == "cancelled\t0\nin flight\t0\n"
    assert copytrade.json("batch", "show", "july")["cancelled"] is True


def test_retry_failed_makes_a_batch_of_its_own_and_prints_its_id_alone(copytrade: Copytrade) -> None:
    """A shell script can read the ID from standard output; the hint is on standard error."""
    end(copytrade)

    shown = copytrade("batch", "retry-failed", "july")
    new = shown.stdout.strip()

    assert new != "july"
    assert f"2 changes; follow it with: copytrade batch watch {new}" in shown.stderr
    assert copytrade.json("batch", "show", new)["total"] == 2


def test_retry_failed_without_failures_has_status_4(copytrade: Copytrade) -> None:
    """No empty batch is begun when every change was applied."""
    begin(copytrade)
    copytrade.end_all()

    assert copytrade.error("batch", "retry-failed", "july", status=4)


def test_a_long_table_in_a_pipe_has_its_header_once(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results are read in pages of one here."""
    monkeypatch.setattr("producers.cli.result_reader.PAGE_SIZE", 1)
    end(copytrade)

    assert len(copytrade("batch", "results", "july").stdout.splitlines()) == 1 + len(USERS)

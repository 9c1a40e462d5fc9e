"""Output: harmless on a terminal, stable in a pipe, exact as JSON, well-formed as CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

import pytest
from rich.console import Console

from producers import InvalidChange, Outcome, Priority
from producers.cli.export import COLUMNS, CsvExport, JsonLinesExport
from producers.cli.json_output import camel_case, to_json
from producers.cli.screen import cell, grid
from producers.cli.text import escape, format_duration, format_time, iso_timestamp
from producers.cli.views import outcome_counts
from producers.contract.wording import plural
from tests.support.changes import attempt, change, result

HOSTILE = "\x1b[31mred\x1b[0m \x9b2J \u202ereversed\u2028\r\n\x00\x7f"


def test_control_characters_for_terminals_are_escaped() -> None:
    """Escape sequences, C1 controls, line ends and marks of direction."""
    shown = escape(HOSTILE)

    assert shown.isprintable()
    assert shown.startswith(r"\x1b[31mred")
    assert r"\u202ereversed" in shown
    assert escape("plain 中文 text") == "plain 中文 text"


def test_a_cell_is_shown_as_it_is_and_not_as_markup() -> None:
    """Brackets are printed literally, and escape sequences do not reach the terminal."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="truecolor")
    screen.print(grid(("message",), [("[red]not markup[/red] \x1b[31m",)]))
    output = screen.file.getvalue()  # type: ignore[attr-defined]

    assert "[red]not markup[/red]" in output
    assert "\x1b[31m" not in output
    assert cell("applied").style == "green"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("inf"), "-"),
        (0, "0 s"),
        (0.0204, "20 ms"),
        (1.25, "1.2 s"),
        (59.4, "59 s"),
        (61, "1 min 01 s"),
        (3_661, "1 h 01 min"),
        (90_000, "1 d 01 h"),
    ],
)
def test_a_duration_is_shown_in_the_largest_fitting_unit(seconds: float | None, text: str) -> None:
    """The text stays short enough for a column; unknown and infinite are a dash."""
    assert format_duration(seconds) == text


def test_times_are_utc_and_absent_ones_say_so() -> None:
    """An absent time is a dash on screen and empty in an export."""
    assert format_time(1_700_000_000_123) == "2023-11-14 22:13:20Z"
    assert iso_timestamp(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert (format_time(None), format_time(0), iso_timestamp(None)) == ("-", "-", "")


def test_json_has_every_field_in_camel_case_and_only_ascii() -> None:
    """Absent values are null, and no locale can break the output."""
    text = to_json(result("a", Outcome.REJECTED, message="Größe \x9b", attempts=[attempt()]))

    assert text.isascii()
    read = json.loads(text)
    assert read["jobId"] == "a"
    assert read["outcome"] == "rejected"
    assert read["message"] == "Größe \x9b"
    assert read["successor"] is None
    assert read["attempts"][0]["tookMs"] == 20


def test_json_of_a_change_is_what_the_exchange_gets() -> None:
    """Fields without a value are left out."""
    assert "longLeverage" not in to_json(change())
    assert json.loads(to_json({"change": change()}))["change"]["settings"][0]["marginCoin"] == "USDT"


def test_json_of_other_values_follows_the_same_rules() -> None:
    """Cases: dataclasses, enumerations, errors and mappings; private fields are omitted."""

    @dataclass
    class Report:
        in_flight: int
        priority: Priority
        error: Exception
        _hidden: int = 1

    report = Report(1, Priority.BULK, InvalidChange("userId", "must be", "x" * 500))

    read = json.loads(to_json([report, {Outcome.APPLIED: 2}]))

    assert read[0]["inFlight"] == 1
    assert read[0]["priority"] == "bulk"
    assert (read[0]["error"]["error"], read[0]["error"]["field"]) == ("InvalidChange", "userId")
    assert "hidden" not in str(read)
    assert read[1] == {"applied": 2}


def test_camel_case_keeps_what_is_camel_case() -> None:
    """A second conversion changes nothing."""
    assert [camel_case(name) for name in ("user_id", "userId", "total", "rate_per_s")] == [
        "userId",
        "userId",
        "total",
        "ratePerS",
    ]


def test_an_export_as_csv_is_well_formed_whatever_the_exchange_wrote() -> None:
    """Quotes, delimiters and line ends stay inside their cells."""
    stream = io.StringIO()
    export = CsvExport(stream)
    export.write([result("a", message='say "hi", then\n\x1b[0m'), result("b", code="40034")])

    header, first, second = csv.reader(io.StringIO(stream.getvalue()))

    assert header == list(COLUMNS)
    assert dict(zip(header, first, strict=True)) == {
        "userId": "1001",
        "traderId": "t1",
        "outcome": "applied",
        "code": "",
        "message": r'say "hi", then\n\x1b[0m',
        "tries": "0",
        "enqueuedAt": "1970-01-01T00:00:01.000Z",
        "startedAt": "",
        "finishedAt": "1970-01-01T00:00:02.000Z",
        "successor": "",
        "jobId": "a",
    }
    assert second[3] == "40034"


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_of_an_export_is_a_formula(start: str) -> None:
    """A spreadsheet would run a message of the exchange as code."""
    stream = io.StringIO()
    CsvExport(stream).write([result("a", user_id=f"{start}1", message=f'{start}HYPERLINK("x")')])

    row = list(csv.reader(io.StringIO(stream.getvalue())))[1]

    assert row[0] == f"'{start}1"
    assert row[4].startswith(f"'{start}")


def test_an_export_as_json_lines_is_a_document_a_line() -> None:
    """Line separators inside a message are escaped, U+2028 included."""
    stream = io.StringIO()
    JsonLinesExport(stream).write([result("a", message="two\nlines\u2028"), result("b")])

    assert [json.loads(line)["jobId"] for line in stream.getvalue().splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "change", "0 changes"),
        (1, "change", "1 change"),
        (1200, "change", "1,200 changes"),
        (1, "stored entry", "1 stored entry"),
        (2, "stored entry", "2 stored entries"),
        (2, "batch", "2 batches"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(number: int, noun: str, text: str) -> None:
    """One function for all messages."""
    assert plural(number, noun) == text


def test_outcomes_are_counted_in_the_order_of_the_contract() -> None:
    """An unknown outcome comes last, and zero counts are omitted."""
    assert outcome_counts({"vanished": 1, "rejected": 2, "applied": 1200, "expired": 0}) == (
        "1,200 applied, 2 rejected, 1 vanished"
    )
    assert outcome_counts({}) == "-"

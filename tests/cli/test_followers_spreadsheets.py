"""What spreadsheets and data tools make of a file of followers: read as it was meant, or named for what it is."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.cli.export import spreadsheet_cell
from producers.cli.input.csv_rows import cells
from producers.cli.input.fields import WIRE_NAMES
from producers.cli.input.followers import Format
from producers.cli.input.lines import MAX_LINE_BYTES, numbered_lines
from producers.cli.input.row_errors import BadInput, RowError
from tests.support.followers_files import changes, followers, row_errors, users

FORMS: tuple[Format, ...] = ("csv", "jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "is a spreadsheet (.xlsx, .ods) or another zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet (.xls)"),
        (b"\n<html><table>", "is HTML or XML"),
        (b"\x1f\x8b\x08\x00", "is compressed; give its content: gzip"),
        (b"BZh91AY&SY", "is compressed; give its content: bzip2"),
        (b"\xfd7zXZ\x00\x00", "is compressed; give its content: xz"),
        (b"\x28\xb5\x2f\xfd\x24", "is compressed; give its content: zstd"),
        (b"%PDF-1.7", "is a PDF"),
        ("user_id\n1001\n".encode("utf-16"), "is in UTF-16"),
        ("user_id\n1001\n".encode("utf-16-le"), "is in UTF-16"),
        ("user_id\n1001\n".encode("utf-32-be"), "is in UTF-16"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_another_kind_is_named(content: bytes, message: str, form: Format) -> None:
    """One line says what it is, and what to do, for CSV and for JSON lines."""
    with pytest.raises(BadInput) as caught:
        followers(content, form).validate()

    assert message in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CR LF", "CR"])
@pytest.mark.parametrize("last", [0, 1], ids=["without the last end", "with it"])
def test_lines_may_end_in_each_way(end: str, last: int) -> None:
    """The file is read in chunks; a line end at the limit of one is not cut into two."""
    for length in range(MAX_LINE_BYTES - 4, MAX_LINE_BYTES):
        content = end.join(["1" * length, "", "1001", "1002"]) + end * last

        lines = numbered_lines(io.BytesIO(content.encode()))

        assert [(number, len(line)) for number, line in lines if line and isinstance(line, str)] == [
            (1, length),
            (3, 4),
            (4, 4),
        ]


@pytest.mark.parametrize(
    "text",
    [
        "user_id;trace_value\n1001;5\n;\n;;;\n1002;5;;\n",
        "sep=;\nuser_id;trace_value\n1001;5\n1002;5\n",
        '"sep=|"\nuser_id|trace_value\n1001|5\n1002|5\n',
        "user_id;trace_value;;\n1001;5;;\n1002;5;;\n;;;\n",
        'user_id,trace_value\n"=""1001""","=""5"""\n="1002",="5"\n',
        "user_id,trace_value\n'1001,'5\n'1002,5\n",
        "\ufeff  \nuser_id,trace_value\n\u00a01001 ,5\n1002,5\n",
    ],
    ids=["empty rows", "sep", "quoted sep", "empty columns", "formulas of text", "apostrophes", "blank start"],
)
def test_what_spreadsheets_add_is_not_part_of_the_values(text: str) -> None:
    """Each variant has the same two rows, and no malformed line."""
    found = followers(text)

    assert [(change.user_id, change.settings[0].trace_value) for change in changes(found)] == [
        ("1001", "5"),
        ("1002", "5"),
    ]
    assert row_errors(found) == []


@pytest.mark.parametrize("column", ["user_id", "trader_id", "symbol", "margin_coin"])
@pytest.mark.parametrize(
    "text",
    [
        *("#N/A", "#REF!", "#DIV/0!", "#####", "#GETTING_DATA", "Err:502", "Loading...", "nan", "NaN", "NaT", "NULL"),
        *("(null)", "<NA>", "\\N", "None", "Total", "Totals:", "Summe", "(blank)", "user_id", "-", "n/a", "TRUE"),
        "infinity",
    ],
)
def test_a_text_that_stands_for_no_value_is_no_id(column: str, text: str) -> None:
    """As users, traders, symbols or coins they would be sent to the exchange."""
    header = "user_id" if column == "user_id" else f"user_id,{column}"
    row = text if column == "user_id" else f"1001,{text}"

    ((line, field),) = row_errors(followers(f"{header}\n{row}\n"))

    assert (line, field.rpartition(".")[2]) == (2, WIRE_NAMES[column])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1.23E+11", "rounded"),
        ("1,23E+11", "rounded"),
        ("1e5", "rounded"),
        ("1001.0", "rounded"),
        ("1001.", "rounded"),
        ("-5", "number with a sign"),
        ("+123", "number with a sign"),
        ("1,234,567", "thousands separators"),
        ("1.234.567", "thousands separators"),
        ("1'234'567", "thousands separators"),
        ("1001,1002", "contains ','"),
        ("1001;1002", "contains ';'"),
        ('1001""', "contains '\"'"),
    ],
)
def test_an_id_that_a_spreadsheet_changed_is_named_for_what_it_is(text: str, rule: str) -> None:
    """In quotes, so that the delimiter is part of the value; as a trader's ID too."""
    for row in (f'"{text}","t1"', f'"1001","{text}"'):
        (fault,) = [each for each in followers(f"user_id,trader_id\n{row}\n") if isinstance(each, RowError)]

        assert rule in fault.rule


def test_a_header_in_the_middle_of_joined_files_is_a_row_error() -> None:
    """In any spelling of the name; the rows around it stay as they are."""
    found = followers("user_id,trader_id\n1001,t1\nUser ID,Trader ID\nuser-id,t2\n1002,traderId\na.b-c_D,t3\n")

    assert row_errors(found) == [(3, "userId"), (4, "userId"), (5, "traderId")]
    assert users(found) == ["1001", "a.b-c_D"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0,5", "decimal point, not a comma"),
        ("1.234,5", "thousands separators"),
        ("1,234.5", "thousands separators"),
        ("1E+5", "no exponent"),
        ("1,5e3", "no exponent"),
        ("5%", "percent sign"),
        ("nan", "decimal number"),
    ],
)
def test_a_number_in_another_form_is_named_for_what_it_is(text: str, rule: str) -> None:
    """It is not sent, and not guessed."""
    (fault,) = [each for each in followers(f"user_id;trace_value\n1001;{text}\n") if isinstance(each, RowError)]

    assert fault.field == "settings[0].traceValue"
    assert rule in fault.rule


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])).map(str.strip))
def test_what_an_export_writes_is_read_as_it_was(text: str) -> None:
    """Apostrophes, formulas, quotes and delimiters included."""
    assert cells(f"{csv_line([spreadsheet_cell(text)])}", ",") == [text]


def csv_line(row: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(row)
    return stream.getvalue()


def test_a_file_of_carriage_returns_is_read_in_chunks() -> None:
    """Whether a line feed follows the last one of a chunk is seen in the next chunk."""

    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    stream = Counting(b"1" + b"\r" * 4 * MAX_LINE_BYTES + b"2")
    found = [(number, line) for number, line in numbered_lines(stream) if line]

    assert found == [(1, "1"), (4 * MAX_LINE_BYTES + 1, "2")]
    assert stream.reads < 10

"""CSV files of followers: what is read, and what is reported of malformed lines."""

from __future__ import annotations

import pytest

from producers.cli.input.lines import MAX_LINE_BYTES
from producers.cli.input.row_errors import BadInput, RowError
from tests.support.followers_files import SETTINGS, changes, followers, row_errors, users


@pytest.mark.parametrize("name", ["user_id", "userId", "user id", "USER_ID", "User ID", "UserID", " user-id "])
def test_the_users_column_is_found_in_any_spelling(name: str) -> None:
    """Case and the separator between the words have no meaning."""
    assert users(followers(f"{name}\n1001\n1002\n")) == ["1001", "1002"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_from_the_header(delimiter: str) -> None:
    """It is a comma, a semicolon or a tab."""
    text = "user_id,trace_value,symbol\n1001,5,ETHUSDT\n".replace(",", delimiter)

    (change,) = changes(followers(text))

    assert (change.settings[0].trace_value, change.settings[0].symbol) == ("5", "ETHUSDT")


@pytest.mark.parametrize(
    "text",
    [b"\xef\xbb\xbfuser_id\r\n1001\r\n1002\r\n", b"user_id\n\n1001\n   \n1002", b'"user_id"\n"1001"\n" 1002 "\n'],
    ids=["byte order mark and CR LF", "blank lines and no last line end", "quotes and spaces"],
)
def test_marks_of_editors_and_spreadsheets_are_ignored(text: bytes) -> None:
    """Each variant yields the same two users."""
    assert users(followers(text)) == ["1001", "1002"]


def test_columns_replace_row_by_row_what_all_followers_get() -> None:
    """An empty cell replaces nothing."""
    text = "user_id,traderId,trace_value,Stop Loss Ratio\n1001,t9,5,\n1002,,,20\n"

    first, second = changes(followers(text))

    assert (first.trader_id, first.settings[0].trace_value, first.settings[0].stop_loss_ratio) == ("t9", "5", None)
    assert (second.trader_id, second.settings[0].trace_value, second.settings[0].stop_loss_ratio) == ("t1", "330", "20")


def test_a_trader_or_user_rounded_by_a_spreadsheet_is_rejected() -> None:
    """A rounded ID could change another trader's copying."""
    assert row_errors(followers("user_id,trader_id\n1001,1.2E+9\n")) == [(2, "traderId")]


def test_columns_alone_can_make_whole_changes() -> None:
    """No common settings are needed."""
    text = (
        "user_id,trader_id,symbol,product_type,margin_type,lever_type,trace_type\n"
        "1001,t1,BTCUSDT,USDT-FUTURES,trader,trader,percent\n"
    )

    (change,) = changes(followers(text, settings=[]))

    assert (change.trader_id, change.settings[0].symbol) == ("t1", "BTCUSDT")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,trader\n1001,t1\n", "line 1 must name the columns, among them user_id; got 'user, trader'"),
        ("1001\n1002\n", "line 1 must name the columns"),
        ("user_id,trace_valeu\n1001,5\n", "column 'trace_valeu': is not a field; did you mean traceValue?"),
        ("user_id,note\n1001,vip\n", "(--ignore-other-columns skips columns that are not fields)"),
        ("user_id,userId\n1001,1002\n", "column 'userId': appears twice"),
        ("user_id,userId,note\n1,2,3\n", "column 'userId': appears twice; remove one; column 'note': is not a field"),
        ("user_id,note,memo\n1,2,3\n", "columns 'note', 'memo': each is not a field; the fields are userId"),
        ("\nuser_id,nope\n1001,1\n", "column 'nope'"),
        ("\nuser\n1001\n", "line 2 must name the columns"),
        ('user_id,"note\n1001,x\n', "the column names: must be CSV in one line"),
        ("sep=x\nuser_id\n1001\n", "line 1: the delimiter must be a comma, a semicolon, a tab or |; got 'x'"),
        ("sep=;\n", "the file contains no followers"),
        ("", "the file contains no followers"),
        ("user_id\n", "the file contains no followers"),
    ],
)
def test_a_malformed_header_is_reported_once(text: str, message: str) -> None:
    """One line for the whole file says what to correct."""
    with pytest.raises(BadInput) as caught:
        followers(text).validate()

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_columns_are_ignored_if_asked_for() -> None:
    """An export of results has such columns."""
    assert users(followers("note,user_id\nvip,1001\n", ignore_other_columns=True)) == ["1001"]


@pytest.mark.parametrize(
    ("line", "field", "rule"),
    [
        (b"1001,5,6", "line", "must have 2 cells like the header, and has 3"),
        (b"1001,1,234", "line", "and has 3; if a number has a thousands separator, take it out"),
        (b"1001", "line", "must have 2 cells"),
        (b'1001,"5', "line", "must be CSV in one line"),
        (b"caf\xe9,5", "line", "must be UTF-8: byte 4 is not"),
        (b"10\x0001,5", "line", "must not contain NUL bytes"),
        (b",5", "userId", "is missing"),
        (b"two words,5", "userId", "printable ASCII"),
        (b"1.23457E+14,5", "userId", "must be the whole ID as text"),
        (b"1001.0,5", "userId", "must be the whole ID as text"),
        (b"1001,lots", "settings[0].traceValue", "must be a decimal number"),
        (b"1001," + b"9" * MAX_LINE_BYTES, "line", "must be shorter than"),
    ],
    ids=[
        "long",
        "thousands",
        "short",
        "quote",
        "encoding",
        "NUL",
        "no user",
        "space",
        "rounded",
        "float",
        "value",
        "endless",
    ],
)
def test_a_malformed_line_is_reported_with_number_field_and_rule(line: bytes, field: str, rule: str) -> None:
    """The valid lines around it are still read, and the quoted value is cut."""
    found = followers(b"user_id,trace_value\n1000,1\n" + line + b"\n1002,2\n")

    (fault,) = [each for each in found if isinstance(each, RowError)]

    assert (fault.line, fault.field) == (3, field)
    assert rule in fault.rule
    assert len(fault.value) < 130
    assert users(found) == ["1000", "1002"]


def test_a_repeated_user_is_a_malformed_line() -> None:
    """Only the first of the two lines counts as valid; the error names it."""
    found = followers("user_id\n1001\n1002\n1001\n")
    (fault,) = [each for each in found if isinstance(each, RowError)]

    assert fault.rule == "duplicate user; first on line 2"
    assert row_errors(found) == [(4, "userId")]
    assert found.validate().valid == 2


def test_a_user_may_be_there_once_for_each_trader() -> None:
    """An empty cell means the common trader, here t1, so that line is a repetition too."""
    found = followers("user_id,trader_id\n1001,t1\n1001,t2\n1001,\n1001,t2\n")

    assert row_errors(found) == [(4, "userId"), (5, "userId")]


def test_common_settings_are_validated_once() -> None:
    """Otherwise one mistake would be reported on every line."""
    with pytest.raises(BadInput, match=r"^for every follower: settings\[0\]\.traceType: "):
        followers("user_id\n1001\n1002\n", settings={**SETTINGS, "traceType": "ratio"}).validate()


def test_columns_cannot_replace_one_of_several_common_settings() -> None:
    """The choice would be ambiguous; a trader column is still allowed."""
    one = {name: value for name, value in SETTINGS.items() if name != "traderId"}
    settings = {"traderId": "t1", "settings": [one, {**one, "symbol": "ETHUSDT"}]}

    assert row_errors(followers("user_id,trace_value\n1001,5\n", settings=settings)) == [(2, "trace_value")]
    assert len(changes(followers("user_id,trader_id\n1001,t5\n", settings=settings))[0].settings) == 2


def test_the_apostrophe_of_an_export_is_removed() -> None:
    """Exports add it so that a spreadsheet does not run the cell as a formula."""
    assert users(followers("user_id\n'=1+1\n'-x5\n'quoted\n")) == ["=1+1", "-x5", "quoted"]


def test_validation_counts_everything_and_whether_all_rows_have_only_a_user() -> None:
    """So the second reading can say how far it is."""
    plain = followers("user_id\n1001\nbad one\n1002\n").validate()
    special = followers("user_id,trace_value\n1001,\n1002,5\n").validate()

    assert (plain.valid, plain.invalid, plain.users_only, [error.line for error in plain.errors]) == (2, 1, True, [3])
    assert (special.valid, special.invalid, special.users_only) == (2, 0, False)


def test_a_file_can_be_read_twice() -> None:
    """The first reading validates, and the second sends."""
    found = followers("user_id\n1001\n1001\n1002\n")

    assert users(found) == users(found) == ["1001", "1002"]


def test_of_thousands_of_unknown_columns_the_first_are_named_and_the_others_counted() -> None:
    """A closest field is looked for only for those that are named."""
    names = ",".join(f"note{index}" for index in range(5000))

    with pytest.raises(BadInput) as caught:
        followers(f"user_id,{names}\n1001\n").validate()

    assert "'note19': each is not a field" in str(caught.value)
    assert "; and 4980 more columns (--ignore" in str(caught.value)
    assert "'note20'" not in str(caught.value)

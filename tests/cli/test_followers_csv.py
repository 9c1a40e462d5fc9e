"""CSV files of followers: what is read, and what is said of what cannot be."""

from __future__ import annotations

import pytest

from producers.cli.input.lines import MAX_LINE_BYTES
from producers.cli.input.row_errors import BadInput, RowError
from tests.support.followers_files import SETTINGS, changes, followers, row_errors, users


@pytest.mark.parametrize("name", ["user_id", "userId", "user id", "USER_ID", "User ID", "UserID", " user-id "])
def test_the_users_column_may_be_spelled_as_people_do(name: str) -> None:
    """Case, and what stands between the words, mean nothing."""
    assert users(followers(f"{name}\n1001\n1002\n")) == ["1001", "1002"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_told_by_the_header(delimiter: str) -> None:
    """Comma, semicolon or tab."""
    text = "user_id,trace_value,symbol\n1001,5,ETHUSDT\n".replace(",", delimiter)

    (change,) = changes(followers(text))

    assert (change.settings[0].trace_value, change.settings[0].symbol) == ("5", "ETHUSDT")


@pytest.mark.parametrize(
    "text",
    [b"\xef\xbb\xbfuser_id\r\n1001\r\n1002\r\n", b"user_id\n\n1001\n   \n1002", b'"user_id"\n"1001"\n" 1002 "\n'],
    ids=["byte order mark and CR LF", "blank lines and no last line end", "quotes and spaces"],
)
def test_what_editors_and_spreadsheets_add_does_no_harm(text: bytes) -> None:
    """The same two users."""
    assert users(followers(text)) == ["1001", "1002"]


def test_columns_replace_row_by_row_what_all_followers_get() -> None:
    """An empty cell replaces nothing."""
    text = "user_id,traderId,trace_value,Stop Loss Ratio\n1001,t9,5,\n1002,,,20\n"

    first, second = changes(followers(text))

    assert (first.trader_id, first.settings[0].trace_value, first.settings[0].stop_loss_ratio) == ("t9", "5", None)
    assert (second.trader_id, second.settings[0].trace_value, second.settings[0].stop_loss_ratio) == ("t1", "330", "20")


def test_a_rounded_trader_is_refused_as_a_rounded_user_is() -> None:
    """The copying of somebody else would be changed."""
    assert row_errors(followers("user_id,trader_id\n1001,1.2E+9\n")) == [(2, "traderId")]


def test_columns_alone_can_make_whole_changes() -> None:
    """Nothing need be the same for all."""
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
        ('user_id,"note\n1001,x\n', "the column names: must be CSV in one line"),
        ("", "the file contains no followers"),
        ("user_id\n", "the file contains no followers"),
    ],
)
def test_a_header_that_cannot_be_used_is_said_once_for_the_whole_file(text: str, message: str) -> None:
    """One line that says what to do."""
    with pytest.raises(BadInput) as caught:
        followers(text).validate()

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_in_another_encoding_is_said_too() -> None:
    """UTF-16 is what spreadsheets call Unicode."""
    with pytest.raises(BadInput, match="save it as UTF-8"):
        followers("user_id\n1001\n".encode("utf-16")).validate()


def test_other_columns_are_passed_over_when_asked() -> None:
    """As in an export of results."""
    assert users(followers("note,user_id\nvip,1001\n", ignore_other_columns=True)) == ["1001"]


@pytest.mark.parametrize(
    ("line", "field", "rule"),
    [
        (b"1001,5,6", "line", "must have 2 cells like the header; it has 3"),
        (b"1001", "line", "must have 2 cells"),
        (b'1001,"5', "line", "must be CSV in one line"),
        (b"caf\xe9,5", "line", "must be UTF-8: byte 4 is not"),
        (b",5", "userId", "printable ASCII"),
        (b"two words,5", "userId", "printable ASCII"),
        (b"1.23457E+14,5", "userId", "must be the whole ID as text"),
        (b"1001.0,5", "userId", "must be the whole ID as text"),
        (b"1001,lots", "settings[0].traceValue", "must be a string holding a decimal number"),
        (b"1001," + b"9" * MAX_LINE_BYTES, "line", "must be shorter than"),
    ],
    ids=["long", "short", "quote", "encoding", "no user", "space", "rounded", "float", "value", "endless"],
)
def test_a_bad_line_is_named_and_spoils_no_other(line: bytes, field: str, rule: str) -> None:
    """Line number as an editor counts, field and rule."""
    found = followers(b"user_id,trace_value\n1000,1\n" + line + b"\n1002,2\n")

    (fault,) = [each for each in found if isinstance(each, RowError)]

    assert (fault.line, fault.field) == (3, field)
    assert rule in fault.rule
    assert len(fault.value) < 130
    assert users(found) == ["1000", "1002"]


def test_a_user_who_is_there_twice_is_a_bad_line() -> None:
    """Of two changes nobody could say which was meant; the first stands in the report as good."""
    found = followers("user_id\n1001\n1002\n1001\n")

    assert row_errors(found) == [(4, "userId")]
    assert found.validate().valid == 2


def test_a_user_may_be_there_once_for_each_trader() -> None:
    """These are two lanes; the same trader again is not."""
    found = followers("user_id,trader_id\n1001,t1\n1001,t2\n1001,\n1001,t2\n")

    assert row_errors(found) == [(4, "userId"), (5, "userId")]


def test_what_all_followers_get_is_judged_once_and_not_on_every_line() -> None:
    """Ten thousand equal errors would hide what is wrong."""
    with pytest.raises(BadInput, match=r"^for every follower: settings\[0\]\.traceType: "):
        followers("user_id\n1001\n1002\n", settings={**SETTINGS, "traceType": "ratio"}).validate()


def test_several_settings_for_all_leave_no_column_for_one_of_them() -> None:
    """Which of them would be meant?"""
    one = {name: value for name, value in SETTINGS.items() if name != "traderId"}
    settings = {"traderId": "t1", "settings": [one, {**one, "symbol": "ETHUSDT"}]}

    assert row_errors(followers("user_id,trace_value\n1001,5\n", settings=settings)) == [(2, "trace_value")]
    assert len(changes(followers("user_id,trader_id\n1001,t5\n", settings=settings))[0].settings) == 2


def test_an_apostrophe_that_our_own_export_set_is_taken_off() -> None:
    """It only kept a spreadsheet from running a formula."""
    assert users(followers("user_id\n'=1+1\n'-5\n'quoted\n")) == ["=1+1", "-5", "'quoted"]


def test_validation_counts_everything_and_whether_all_rows_have_only_a_user() -> None:
    """So the second reading can say how far it is."""
    plain = followers("user_id\n1001\nbad one\n1002\n").validate()
    special = followers("user_id,trace_value\n1001,\n1002,5\n").validate()

    assert (plain.valid, plain.invalid, plain.users_only, [error.line for error in plain.errors]) == (2, 1, True, [3])
    assert (special.valid, special.invalid, special.users_only) == (2, 0, False)


def test_a_file_can_be_read_as_often_as_wanted() -> None:
    """First to judge it, then to send it."""
    found = followers("user_id\n1001\n1001\n1002\n")

    assert users(found) == users(found) == ["1001", "1002"]

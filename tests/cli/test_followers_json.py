"""JSON lines of followers: IDs, objects, whole changes; and what is reported of other lines."""

from __future__ import annotations

import io

import pytest

from producers.cli.input.followers import detect_format, ensure_seekable
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.input.template import Template
from tests.support.followers_files import SETTINGS, changes, followers, row_errors, users

WHOLE = (
    '{"userId":"1001","traderId":"t7","settings":[{"symbol":"ETHUSDT","productType":"USDT-FUTURES",'
    '"marginType":"trader","leverType":"trader","traceType":"percent","traceValue":"1"}]}'
)


def test_a_line_may_be_a_user_as_text_or_as_number() -> None:
    """A number keeps all its digits."""
    assert users(followers('"1001"\n1002\n123456789012345678901234567890\n', "jsonl")) == [
        "1001",
        "1002",
        "123456789012345678901234567890",
    ]


def test_an_object_replaces_what_it_names_and_a_number_is_taken_as_it_is_written() -> None:
    """0.10 stays 0.10."""
    (change,) = changes(followers('{"user_id": 1001, "traceValue": 0.10, "symbol": null}', "jsonl"))

    assert (change.user_id, change.settings[0].trace_value, change.settings[0].symbol) == ("1001", "0.10", "BTCUSDT")


def test_a_whole_change_replaces_the_common_settings() -> None:
    """The result is the same when there are no common settings."""
    (change,) = changes(followers(WHOLE, "jsonl"))

    assert (change.trader_id, len(change.settings), change.settings[0].symbol) == ("t7", 1, "ETHUSDT")
    assert changes(followers(WHOLE, "jsonl", settings=[])) == [change]


@pytest.mark.parametrize(
    ("line", "field", "rule"),
    [
        ("{", "line", "must be one JSON value"),
        ("true", "line", "must be a user ID or an object"),
        ("null", "line", "must be a user ID or an object"),
        ("{}", "userId", "is missing"),
        ('{"userId": ["1"]}', "userId", "printable ASCII"),
        ('{"userId": "1001", "tracevalu": "5"}', "tracevalu", "did you mean traceValue?"),
        ('{"userId": "1001", "user_id": "1002"}', "user_id", "another spelling"),
        ('{"userId": "1001", "userId": "1002"}', "line", "'userId' appears twice"),
        ('{"userId": "1001", "settings": {}}', "settings", "must be a list of settings"),
        ('{"userId": "1001", "settings": [1]}', "settings[0]", "must be an object"),
        ('{"userId": "1001", "settings": [{"symbl": "X"}]}', "settings[0].symbl", "did you mean symbol?"),
        ('{"userId": "1001", "settings": []}', "settings", "must be a list of 1 to 10 settings"),
        ('{"userId": "1001", "settings": [], "symbol": "X"}', "settings", "cannot be combined with symbol"),
        ('{"userId": "1001", "traceValue": NaN}', "line", "NaN is not a JSON number"),
        ('{"userId": "1001", "traceValue": 1e5}', "settings[0].traceValue", "must have no exponent"),
        ('{"userId": "1001", "traceValue": "0,5"}', "settings[0].traceValue", "must have a decimal point"),
        ('{"userId": "nan"}', "userId", "this stands for no value"),
        ('{"userId": "1001", "traderId": "None"}', "traderId", "this stands for no value"),
        ('{"userId": 1001.0}', "userId", "must be the whole ID as text"),
        ('"1001\0"', "line", "must not contain NUL"),
        ("[" * 20_000, "line", "must be one JSON value"),
        ('"\\ud800"', "userId", "printable ASCII"),
        ('{"userId": "1001", "\\ud800": 1}', r"'\ud800'", "is not a field"),
        ('{"settings": [{"a\\u202eb": 1}]}', r"settings[0].'a\u202eb'", "is not a field"),
        (f'{{"{"x" * 60_000}": 1}}', f"'{'x' * 79}... (60002 characters)", "is not a field; the fields are"),
    ],
)
def test_a_malformed_line_is_reported_with_field_and_rule(line: str, field: str, rule: str) -> None:
    """Fields have their wire names, and the valid lines around it are still read."""
    found = followers(f'"1000"\n{line}\n"1002"\n', "jsonl")

    (fault,) = [each for each in found if isinstance(each, RowError)]

    assert (fault.line, fault.field) == (2, field)
    assert rule in fault.rule
    assert users(found) == ["1000", "1002"]


def test_unknown_fields_are_ignored_if_asked_for() -> None:
    """Without the option, such a field is an error of its line."""
    found = followers('{"userId": "1001", "note": 1}\n', "jsonl", ignore_other_columns=True)

    assert users(found) == ["1001"]
    assert row_errors(followers('{"userId": "1001", "note": 1}\n', "jsonl")) == [(1, "note")]


def test_a_json_array_is_rejected_with_the_way_to_make_lines_of_it() -> None:
    """An array cannot be read line by line."""
    with pytest.raises(BadInput, match="jq -c"):
        followers('["1001", "1002"]', "jsonl").validate()


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("f.csv", b"1", "csv"),
        ("F.TSV", b"{", "csv"),
        ("f.jsonl", b"user_id", "jsonl"),
        ("f.ndjson", b"", "jsonl"),
        ("<stdin>", b"user_id\n1", "csv"),
        ("<stdin>", b'{"userId": 1}', "jsonl"),
        ("<stdin>", b'\xef\xbb\xbf"1001"', "jsonl"),
        ("f.txt", b"\n 1001\n", "jsonl"),
        ("<stdin>", b'"user_id";"note"\n1;2', "csv"),
        ("", b"", "csv"),
    ],
)
def test_the_format_of_a_file_is_found_from_its_name_or_start(name: str, content: bytes, form: str) -> None:
    """Plain IDs without a header are JSON lines."""
    assert detect_format(name, io.BytesIO(content)) == form


def test_a_pipe_is_copied_so_that_it_can_be_read_twice() -> None:
    """A regular file is seekable and is used directly."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    file, pipe = io.BytesIO(b"abc"), Pipe(b"abc")

    assert ensure_seekable(file) is file
    with ensure_seekable(pipe) as copy:
        copy.seek(0)
        assert copy.read() == b"abc"


@pytest.mark.parametrize(
    "given", ["x", 1, None, [1], {"nonsense": 1}, {"settings": 1}, {"settings": [], "symbol": "X"}]
)
def test_malformed_settings_are_rejected(given: object) -> None:
    """Cases: wrong types, unknown fields, and a list beside a field of its settings."""
    with pytest.raises(BadInput):
        Template.from_json(given)


def test_a_flag_replaces_a_field_of_a_single_setting() -> None:
    """With two settings the flag is ambiguous and is rejected."""
    template = Template.from_json(dict(SETTINGS)).with_fields({"trace_value": "7", "trader_id": "t2"})
    two = Template.from_json([{"symbol": "A"}, {"symbol": "B"}])

    assert (template.common_change().trader_id, template.common_change().settings[0].trace_value) == ("t2", "7")
    with pytest.raises(BadInput, match="which of the 2 settings is meant"):
        two.with_fields({"trace_value": "7"})

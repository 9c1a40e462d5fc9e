"""Parsing of a credentials file table by table."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzzing import FUZZ
from worker.credentials import credentials_file
from worker.credentials.credentials_file import FileContent, parse_file
from worker.credentials.model import read_credentials
from worker.errors import CredentialsError

FIELDS = 'api_key = "key"\nsecret_key = "hush-secret"\npassphrase = "hush-pass"\n'
ONE, TWO, THREE = (f"[users.{user}]\n{FIELDS}" for user in ("1001", "1002", "1003"))


def parse(text: str, earlier: FileContent | None = None) -> FileContent:
    return parse_file(text.encode(), "the file", earlier or FileContent(), lambda: None)


@pytest.mark.parametrize(
    "text",
    [
        ONE + TWO,
        (ONE + TWO).replace("\n", "\r\n"),
        "# [users.1000]\n" + ONE + "note = '[users.1000]' # [users.1000]\n" + TWO,
        f'  [ users . "10.01" ]\n{FIELDS}[users."ü\\"x"]\n{FIELDS}[users.\'a b\']\n{FIELDS}',
        f"owner = 'ops'\n[users]\n{ONE}[users.1001.more]\nx = 1\n[other]\ny = 2\n{TWO}",
        f"[users]\n1003 = {{ {', '.join(FIELDS.splitlines())} }}\n{ONE}{TWO}",
        FIELDS.replace("api", "users.1003.api")
        .replace("secret_", "users.1003.secret_")
        .replace("pass", "users.1003.pass", 1)
        + ONE,
        f"{ONE}note = '''\n[users.1002]\napi_key = 1\n'''\n{THREE}",
        f"{ONE}notes = [\n  ['a'],\n]\n{TWO}demo = true\n",
    ],
    ids=["plain", "lines of Windows", "comments", "quoted", "inner", "inline", "dotted", "multi-line", "array"],
)
def test_a_valid_file_is_read_as_a_toml_parser_reads_it(text: str) -> None:
    """However it is written."""
    tables = tomllib.loads(text)["users"]

    content = parse(text)

    assert content.users == {user: read_credentials(user, fields, "") for user, fields in tables.items()}
    assert content.all_faults() == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (TWO.replace('"hush-pass"', "hush"), "line 8, column 14: user '1002': not valid TOML"),
        (TWO.replace('hush-pass"', "hush"), "line 8, column 19: user '1002': not valid TOML"),
        (TWO.replace('"hush-pass"', '"""hush'), "line 5.*: user '1002': not valid TOML"),
        (TWO.replace("1002]", "1002"), "line 5, column 12: user '1002': not valid TOML"),
        (f"{TWO}x = {'[' * 9999}\n", "line 5: user '1002': not valid TOML"),
        (f"{TWO}x = {'9' * 9999}\n", "line 5: user '1002': not valid TOML"),
        (TWO.replace("secret_key", "secret"), "line 5: user '1002': secret_key is missing"),
        (TWO + TWO.replace("key", "api_key", 1), "line 9.*user '1002'"),
        (TWO + TWO, "line 9: user '1002' has an earlier table, too"),
    ],
    ids=["no quotes", "open quote", "open quotes", "open header", "deep", "huge", "missing", "second bad", "second"],
)
def test_a_bad_table_stops_its_user_only(bad: str, problem: str) -> None:
    """Whatever is wrong with it; the message has the place and no value."""
    content = parse(ONE + bad + THREE)

    assert set(content.users) == {"1001", "1003"}
    assert set(content.faults) == {"1002"}
    assert re.match(f"the file, {problem}", content.faults["1002"].message), content.faults
    assert "hush" not in content.faults["1002"].message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hush\n", "the file, line 1, column 5: not valid TOML"),
        ("\n\n[users.]\n" + FIELDS, "the file, line 3, column 8: not valid TOML"),
        (TWO.replace('"hush-pass"', "hush"), "the file, line 4, column 14: user '1002': not valid TOML"),
        ("x = 1\n", r"the file has no \[users.<id>\] table"),
        ("\ufeff" + ONE, r"the file is saved with a byte order mark \(BOM\); save it as UTF-8 without BOM"),
    ],
)
def test_a_file_without_a_table_that_can_be_used_is_refused_with_the_place(text: str, problem: str) -> None:
    """Nothing of it is quoted, also not by an error that led to this one."""
    with pytest.raises(CredentialsError, match=problem) as caught:
        parse(text)

    assert "hush" not in str(caught.value)
    assert caught.value.__context__ is None


def test_who_may_stand_in_an_unreadable_part_is_not_told_from_who_is_unknown() -> None:
    """The part is named, and the users of the other tables load."""
    content = parse(f"hush\n{ONE}[users.\n{FIELDS}")

    assert set(content.users) == {"1001"}
    assert [fault.message.partition(":")[0] for fault in content.nameless] == [
        "the file, line 1, column 5",
        "the file, line 6, column 8",
    ]


def test_a_misspelt_table_is_named_with_its_own_line() -> None:
    """Not with that of the user's table before it."""
    content = parse(ONE + TWO.replace("users", "user") + THREE)

    assert set(content.users) == {"1001", "1003"}
    assert [fault.message.partition(":")[0] for fault in content.nameless] == ["the file, line 5"]


def test_only_tables_that_changed_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file with many users that changes often, most is as before, wherever it stands now."""
    earlier = parse(ONE + TWO + THREE)
    parsed: list[str] = []

    def parse_table(table: str, _user_id: str) -> tuple[()]:
        parsed.append(table)
        return ()

    monkeypatch.setattr(credentials_file, "_parse_table", parse_table)

    parse("# note\n" + THREE + TWO.replace("hush", "new") + ONE, earlier)

    assert parsed == ["# note\n", TWO.replace("hush", "new")]


@FUZZ
@given(st.binary())
def test_any_bytes_are_a_file_or_are_rejected(content: bytes) -> None:
    """Also before and after a sound table."""
    for text in (content, ONE.encode() + content, content + b"\n" + ONE.encode()):
        with suppress(CredentialsError):
            parse_file(text, "the file", FileContent(), lambda: None)

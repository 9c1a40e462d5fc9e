"""Parsing of a credentials file, table by table: a bad table concerns its user only. No I/O.

Tables that were in the file before are not parsed again. A table ends where the next `[users.<id>]` begins. Only a
multi-line string could contain such a line, so a file with one is parsed in one piece.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worker.credentials.model import SECRET_FIELDS, Credentials, read_credentials
from worker.credentials.private_file import decode_text
from worker.errors import CredentialsError

_USER_ID = r"""(?:([A-Za-z0-9_-]++)|"([^"\\\n]*+)"|'([^'\n]*+)')"""
_header = re.compile(
    rf"""^[ \t]*\[[ \t]*users[ \t]*\.[ \t]*{_USER_ID}?+(?![ \t]*\.)     # opens a user's table, not one inside it
    | ^[\ufeff \t]*[\[{{(]?[ \t]*users[ \t]*\.[ \t]*{_USER_ID}[ \t]*(?=[])}}\#\r\n])""",  # damaged, not a dotted key
    re.MULTILINE | re.VERBOSE,
)
"""A line where a user's table begins; if it is damaged, the fault is of the user that it names. No such line can be the
field `demo` of the user before it, who would trade for real without it."""

_position = re.compile(r"\(at line (\d+), column (\d+)\)")

_MULTI_LINE_QUOTES = ('"""', "'''")
_TABLE_RULE = f"a table [users.<id>] with {', '.join(SECRET_FIELDS)}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A table that cannot be used.

    Attributes:
        message: where it is and what is wrong; it contains no value.
        digest: differs if the text of the table does, wherever it stands in the file.
        hides_others: whether the tables of other users may be in it, since it is not valid TOML or names no user.
    """

    message: str
    digest: int
    hides_others: bool


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a credentials file says.

    Attributes:
        users: credentials by user ID.
        faults: tables that cannot be used, by user ID.
        nameless: text that cannot be used, and whose user cannot be read.
        hiding: the first fault that may hide other users' tables; None for none.
        lost: users that were in the file before and are not in it now, while it has faults: a quote that is not closed,
            or a file that is half-written, can hide the tables that follow.
        parsed: entries by the text of their table.
    """

    users: dict[str, Credentials] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    nameless: list[Fault] = field(default_factory=list)
    hiding: Fault | None = None
    lost: frozenset[str] = frozenset()
    parsed: dict[str, _Entries] = field(default_factory=dict, repr=False)

    def all_faults(self) -> list[Fault]:
        """Return every fault."""
        return [*self.faults.values(), *self.nameless]


class _Problem(NamedTuple):
    """What is wrong with a table, and where in it; the line counts from 0, and column 0 is the whole line."""

    text: str
    line: int = 0
    column: int = 0
    is_toml: bool = True


_Entries = tuple[tuple[str, Credentials | _Problem], ...]
"""The users of a table with what it says of them; the ID is "" if it cannot be read."""


class _Table(NamedTuple):
    """A piece of the file.

    Attributes:
        text: its text.
        line: its first line, counted from 1; 0 if unknown.
        entries: its users: one, unless the file is written in an unusual way.
    """

    text: str
    line: int
    entries: _Entries


def parse_file(content: bytes, source: str, earlier: FileContent, pause: Callable[[], None]) -> FileContent:
    """Return the content of a credentials file.

    Args:
        content: the file's bytes.
        source: the file; error messages begin with it.
        earlier: what the file said before.
        pause: called after each table.

    Raises:
        CredentialsError: the file is not text, or no table of it can be used.
    """
    text = decode_text(content, source, errors="surrogateescape")  # no secret may have such characters
    tables = _parse_whole(text) if any(quotes in text for quotes in _MULTI_LINE_QUOTES) else None
    read = FileContent()
    for table in tables or _parse_tables(text, earlier.parsed):
        if table.line:
            read.parsed[table.text] = table.entries
        for user_id, entry in table.entries:
            _add(read, user_id, entry, table, source)
        pause()
    faults = read.all_faults()
    if not read.users:
        decode_text(content, source)
        # An empty file is probably being written: a worker without users makes no sense.
        raise CredentialsError(faults[0].message if faults else f"{source} has no [users.<id>] table; add one for each")
    known = earlier.users.keys() | earlier.faults.keys() | earlier.lost if faults else frozenset()
    return FileContent(
        read.users,
        read.faults,
        read.nameless,
        next((fault for fault in faults if fault.hides_others), None),
        frozenset(known - read.users.keys() - read.faults.keys()),
        read.parsed,
    )


def _add(read: FileContent, user_id: str, entry: Credentials | _Problem, table: _Table, source: str) -> None:
    if user_id in read.users or user_id in read.faults:
        read.users.pop(user_id, None)
        entry = _Problem(f"user {user_id[:80]!r} has an earlier table, too; keep one of them")
    if isinstance(entry, Credentials):
        read.users[user_id] = entry
        return
    where = f", line {table.line + entry.line}" if table.line else ""
    where += f", column {entry.column}" if entry.column else ""
    hides_others = not (user_id and entry.is_toml)
    fault = Fault(f"{source}{where}: {entry.text}", hash((table.text.strip(), entry.text)), hides_others)
    if user_id:
        read.faults[user_id] = fault
    else:
        read.nameless.append(fault)


def _parse_tables(text: str, parsed: dict[str, _Entries]) -> Iterator[_Table]:
    """Yield what stands before the first table of a user, then these tables. Those in `parsed` are not parsed."""
    user_id, start, line = "", 0, 1
    for header in _header.finditer(text):
        table = text[start : header.start()]
        yield _Table(table, line, parsed.get(table) or _parse_table(table, user_id))
        user_id = next(filter(None, header.groups()), "")
        start, line = header.start(), line + table.count("\n")
    table = text[start:]
    yield _Table(table, line, parsed.get(table) or _parse_table(table, user_id))


def _parse_table(table: str, user_id: str) -> _Entries:
    """Return the entries of a text. It is of user `user_id` if it is not valid TOML."""
    try:
        return _entries(tomllib.loads(table), table)
    except (ValueError, RecursionError) as exc:
        # Only the position is taken from the parser's message; the rest may quote the file.
        position = _position.search(str(exc))
    line, column = (int(position[1]) - 1, int(position[2])) if position else (0, 0)
    of_user = f"user {user_id[:80]!r}: " if user_id else ""
    return ((user_id, _Problem(f"{of_user}not valid TOML; write {_TABLE_RULE}", line, column, is_toml=False)),)


def _parse_whole(text: str) -> Iterator[_Table] | None:
    """Return the tables of a text that is parsed in one piece; None if it is not valid TOML."""
    try:
        entries = _entries(tomllib.loads(text), text)
    except (ValueError, RecursionError):
        return None
    return (_Table(str(entry), 0, (entry,)) for entry in entries)


def _entries(document: dict[str, Any], text: str) -> _Entries:
    """Return the entries of `users`, and those of other tables that were meant to be in it."""
    users = document.pop("users", {})
    misnamed = [
        ("", _Problem(f"the table {name[:80]!r} has keys of a user; write {_TABLE_RULE}", _line_of(name, text)))
        for name, table in document.items()
        if isinstance(table, dict) and any(_has_keys(inner) for inner in (table, *table.values()))
    ]
    if not isinstance(users, dict):
        return (("", _Problem(f"`users` must consist of tables; write {_TABLE_RULE}")), *misnamed)
    return (*((user_id, _entry(user_id, table)) for user_id, table in users.items()), *misnamed)


def _line_of(name: str, text: str) -> int:
    """Return the line, counted from 0, where a top-level table begins; 0 if it is not found."""
    header = re.search(rf"""^[ \t]*\[+[ \t]*["']?{re.escape(name)}\b""", text, re.MULTILINE)
    return text.count("\n", 0, header.start()) if header else 0


def _has_keys(table: object) -> bool:
    return isinstance(table, dict) and not table.keys().isdisjoint(SECRET_FIELDS)


def _entry(user_id: str, table: object) -> Credentials | _Problem:
    where = f"user {user_id[:80]!r}"
    if not isinstance(table, dict):
        return _Problem(f"{where}: must be {_TABLE_RULE}")
    try:
        return read_credentials(user_id, table, where)
    except CredentialsError as exc:
        return _Problem(str(exc))

"""What a replica had not got when it took the place of its primary: the end of the primary's append-only file. No I/O.

Replication is asynchronous, and in order. The run writes marks, numbers that grow. The last mark that the replica has
divides the primary's file: what stands after it may be lost, what stands before it is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from producers.contract.keyspace import Keyspace, unescape

MARK = "mark"
"""The name of the mark's key, behind the tag."""

_word = re.compile(rb"\$\d+\r\n([^\r\n]*)\r\n")


@dataclass(slots=True)
class Lost:
    """What was written, and may be lost.

    Attributes:
        takeovers: how often a replica took the place of a primary that the run had taken away.
        unasked: how often one did so otherwise, as on a machine that is too slow. What it had not got is not known.
        commands: the number of commands, marks included.
        users: whom they were about.
        batches: the IDs of batches that they were about.
    """

    takeovers: int = 0
    unasked: int = 0
    commands: int = 0
    users: set[str] = field(default_factory=set)
    batches: set[str] = field(default_factory=set)

    def add(self, tail: bytes, keys: Keyspace, users: Collection[str]) -> None:
        """Add the end of an append-only file.

        Args:
            tail: commands as clients send them.
            keys: the names of the keys.
            users: all users that there are.
        """
        self.takeovers += 1
        self.commands += len(re.findall(rb"^\*\d+\r\n", tail, re.MULTILINE))
        for raw in _word.findall(tail):
            word = raw.decode(errors="replace")
            name = word.removeprefix(keys.tag + ":")
            # A key is `<name>:<user>` or `<name>:<user>:<trader>`; a member is `<user>` or `<user>:<trader>`.
            about = name.partition(":")[2] if name != word else word
            user = unescape(about.partition(":")[0])
            if user in users:
                self.users.add(user)
            if word.startswith(keys.batch):
                self.batches.add(word.removeprefix(keys.batch))


def after_mark(history: bytes, keys: Keyspace, mark: int) -> bytes:
    """Return what an append-only file has after a mark.

    Raises:
        ValueError: it has no such mark.
    """
    value = str(mark).encode()
    key = f"{keys.tag}:{MARK}".encode()
    written = re.compile(re.escape(key) + rb"\r\n\$%d\r\n%s\r\n" % (len(value), value))
    found = None
    for found in written.finditer(history):  # noqa: B007 - the last one
        pass
    if found is None:
        raise ValueError(f"the append-only file of a node that was lost has no mark {mark}")
    return history[found.end() :]

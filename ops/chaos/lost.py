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


def after_mark(history: bytes, keys: Keyspace, mark: int, next_mark: int) -> bytes:
    """Return what the append-only file of a primary has after the last mark that its replica got.

    Args:
        history: the file. What follows the next mark is what the primary got from the new one, as a replica.
        keys: the names of the keys.
        mark: that mark.
        next_mark: the first that was written at the new primary.

    Raises:
        ValueError: the file has no such mark.
    """
    _, found, tail = history.rpartition(_written(keys, mark))
    if not found:
        raise ValueError(f"the append-only file of a node that was lost has no mark {mark}")
    return tail.partition(_written(keys, next_mark))[0]


def _written(keys: Keyspace, mark: int) -> bytes:
    return f"{keys.tag}:{MARK}\r\n${len(str(mark))}\r\n{mark}\r\n".encode()

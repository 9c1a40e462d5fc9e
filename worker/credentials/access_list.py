"""The access list of a file (acl(5)), as Linux keeps it in an extended attribute (linux/posix_acl_xattr.h)."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from enum import IntEnum

ATTRIBUTE = "system.posix_acl_access"
VERSION = struct.pack("<I", 2)
_entry = struct.Struct("<HHI")  # tag, permissions, user or group ID


class Tag(IntEnum):
    """Whom an entry is for."""

    OWNER = 0x01
    USER = 0x02
    OWNING_GROUP = 0x04
    GROUP = 0x08
    MASK = 0x10
    OTHERS = 0x20


def read_access_list(descriptor: int) -> bytes:
    """Return the access list of an open file; empty if it has none."""
    if hasattr(os, "getxattr"):  # Linux
        with suppress(OSError):
            return os.getxattr(descriptor, ATTRIBUTE)
    return b""


def admits_only(access_list: bytes, user: int) -> bool:
    """Return whether an access list gives rights to its file's owner and one user, and to nobody else.

    With a list, the group's bits of a file's mode show the most that any entry may give, and not what the group may do.
    """
    entries = access_list.removeprefix(VERSION)
    if len(entries) == len(access_list) or len(entries) % _entry.size:
        return False
    granted = {(tag, whose) for tag, permissions, whose in _entry.iter_unpack(entries) if permissions}
    return all(tag in {Tag.OWNER, Tag.MASK} or (tag, whose) == (Tag.USER, user) for tag, whose in granted)

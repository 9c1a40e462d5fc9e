"""Which files with secrets are read, and what is said of the others."""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.credentials import private_file
from worker.credentials.access_list import ATTRIBUTE, VERSION, Tag
from worker.credentials.private_file import Process, decode_text, file_problem, folder_is_shared, read_private
from worker.errors import CredentialsError

ROOT, OURS, OTHER = 0, 1000, 1001
OUR_GROUP, OTHER_GROUP = 100, 101

WE = Process(OURS, frozenset({OUR_GROUP}))
WE_AS_ROOT = Process(ROOT, frozenset({OUR_GROUP}))


def status(mode: int, user: int = OURS, group: int = OUR_GROUP) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, user, group, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("process", "mode", "user", "group", "problem"),
    [
        (WE, 0o600, OURS, OTHER_GROUP, "^$"),
        (WE, 0o400, OURS, OUR_GROUP, "^$"),
        (WE, 0o440, ROOT, OUR_GROUP, "^$"),
        (WE, 0o640, ROOT, OUR_GROUP, "^$"),
        (WE_AS_ROOT, 0o600, ROOT, OUR_GROUP, "^$"),
        (WE_AS_ROOT, 0o440, ROOT, OUR_GROUP, "^$"),
        (WE, 0o440, OURS, OUR_GROUP, "open to other users; run: chmod 600 keys"),
        (WE, 0o440, ROOT, OTHER_GROUP, "open to other users; as root: chgrp GROUP keys && chmod 640 keys.*mode 0440"),
        (WE, 0o444, ROOT, OUR_GROUP, "open to other users; as root: chgrp GROUP keys"),
        (WE, 0o660, ROOT, OUR_GROUP, "open to other users; as root: chgrp GROUP keys"),
        (WE_AS_ROOT, 0o640, ROOT, OUR_GROUP, "run this as the service's user; if only root does: chmod 600 keys"),
        (WE_AS_ROOT, 0o440, ROOT, OTHER_GROUP, "run this as the service's user; if only root does: chmod 600 keys"),
        (WE, 0o600, OTHER, OUR_GROUP, r"belongs to another user \(ID 1001\).*chown 1000 keys"),
        (
            WE_AS_ROOT,
            0o600,
            OTHER,
            OUR_GROUP,
            r"belongs to another user \(ID 1001\).*run this as that user; if root .*chown 0 keys",
        ),
    ],
)
def test_a_file_is_used_only_if_nobody_else_can_have_written_it_or_can_read_it(
    process: Process, mode: int, user: int, group: int, problem: str
) -> None:
    """Its group may read what root mounted for it, as orchestrators do; README.md has the same table."""
    assert re.search(problem, file_problem(status(stat.S_IFREG | mode, user, group), process, Path("keys")))


def access_list(*entries: tuple[Tag, int, int]) -> bytes:
    """Return an access list as Linux keeps it: tags, permissions, IDs."""
    return VERSION + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 2**32 - 1
"""The ID of entries that name nobody."""

OF_SYSTEMD = (
    (Tag.OWNER, 4, NOBODY),
    (Tag.USER, 4, OURS),
    (Tag.OWNING_GROUP, 0, NOBODY),
    (Tag.MASK, 4, NOBODY),
    (Tag.OTHERS, 0, NOBODY),
)


@pytest.mark.parametrize(
    ("entries", "accepted"),
    [
        (OF_SYSTEMD, True),
        ((*OF_SYSTEMD, (Tag.USER, 4, OTHER)), False),
        ((*OF_SYSTEMD, (Tag.GROUP, 4, OUR_GROUP)), False),
        ((*OF_SYSTEMD, (Tag.OWNING_GROUP, 4, NOBODY)), False),
        ((*OF_SYSTEMD, (Tag.OTHERS, 4, NOBODY)), False),
    ],
)
def test_an_access_list_may_admit_the_workers_user_and_nobody_else(
    entries: tuple[tuple[Tag, int, int], ...], accepted: bool
) -> None:
    """The mode shows the list's mask as the group's rights; so systemd hands over credentials."""
    shown = status(stat.S_IFREG | 0o440, ROOT, OTHER_GROUP)

    problem = file_problem(shown, WE, Path("keys"), access_list(*entries))

    assert (problem == "") is accepted


@pytest.mark.parametrize("damaged", [b"", b"\x01\0\0\0", access_list(*OF_SYSTEMD)[:-1], access_list(*OF_SYSTEMD)[4:]])
def test_an_access_list_that_cannot_be_read_admits_nobody(damaged: bytes) -> None:
    """Of a file that has none, or one of a later version."""
    assert file_problem(status(stat.S_IFREG | 0o440, ROOT, OTHER_GROUP), WE, Path("keys"), damaged)


@pytest.mark.skipif(not hasattr(os, "setxattr") or os.geteuid() != 0, reason="root alone makes such a file, on Linux")
def test_a_credential_of_systemd_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the access list that the system stores."""
    path = tmp_path / "ring"
    path.write_bytes(b"key")
    path.chmod(0o400)
    try:
        os.setxattr(path, ATTRIBUTE, access_list(*OF_SYSTEMD))
    except OSError:
        pytest.skip("this file system has no access lists")
    os.chown(path, ROOT, OTHER_GROUP)
    monkeypatch.setattr(Process, "current", lambda: WE)

    assert stat.S_IMODE(path.stat().st_mode) == 0o440
    assert read_private(path, "key ring")[1] == b"key"


@pytest.mark.parametrize(
    ("mode", "user", "shared"),
    [
        (0o755, OURS, False),
        (0o755, ROOT, False),
        (0o755, OTHER, True),
        (0o775, ROOT, True),
        (0o777, ROOT, True),
        (0o1777, ROOT, True),
    ],
)
def test_a_folder_is_shared_if_somebody_else_may_put_a_symbolic_link_there(mode: int, user: int, shared: bool) -> None:
    """The sticky bit of /tmp keeps others from replacing a link, not from making one."""
    assert folder_is_shared(status(stat.S_IFDIR | mode, user), WE) is shared


def write(path: Path, content: bytes = b"hush") -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def make_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)  # in the current folder, since the whole path would be too long


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_fifo, "is a FIFO, not a regular file"),
        (Path.mkdir, "is a folder, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
        (make_socket, "cannot be read: No such device"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    ],
    ids=["FIFO", "folder", "device", "socket", "circle of links"],
)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], problem: str
) -> None:
    """Opening a FIFO would wait for a writer, and a device may never end."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "keys")

    with pytest.raises(CredentialsError, match=f"credentials file {tmp_path / 'keys'} {problem}"):
        read_private(tmp_path / "keys", "credentials file")


@pytest.mark.parametrize("mode", [0o1777, 0o775])
@pytest.mark.parametrize("path", ["link", "folder/keys", "out/shared/keys"])
def test_a_symbolic_link_in_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, path: str, mode: int) -> None:
    """Anywhere in the path: it may lead to another file of ours, which the owner's check would let pass."""
    write(tmp_path / "keys")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "link").symlink_to(tmp_path / "keys")
    (shared / "folder").symlink_to(tmp_path)
    (shared / "out").symlink_to("..")
    write(shared / "keys")
    shared.chmod(mode)

    with pytest.raises(
        CredentialsError, match=r"symbolic link .*shared/(link|folder|out), in a folder that other users"
    ):
        read_private(shared / path, "credentials file")


@pytest.mark.parametrize("folder_mode", [0o755, 0o1777, 0o3777])
def test_a_secret_is_read_as_an_orchestrator_mounts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_mode: int
) -> None:
    """Kubernetes links each name through `..data` to a folder of that revision. A relative path does as well."""
    tmp_path.chmod(folder_mode)
    revision = tmp_path / "..2026_11_28"
    revision.mkdir()
    write(revision / "keys")
    (tmp_path / "..data").symlink_to(revision.name)
    (tmp_path / "keys").symlink_to("..data/keys")
    monkeypatch.chdir(tmp_path)

    assert read_private(tmp_path / "keys", "key ring file")[1] == b"hush"
    assert read_private(Path("keys"), "key ring file")[1] == b"hush"


def test_an_overlong_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is, no more than the limit is read."""
    monkeypatch.setattr(private_file, "MAX_BYTES", 3)

    with pytest.raises(CredentialsError, match="is longer than"):
        read_private(write(tmp_path / "keys"), "credentials file")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_named_without_quoting_the_text(encoding: str) -> None:
    """A byte order mark stays invisible in an editor; UTF-16 is what some consoles write."""
    with pytest.raises(CredentialsError, match=r"the file is saved .*; save it as UTF-8 without BOM") as caught:
        decode_text("hush".encode(encoding), "the file")

    assert "hush" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused_without_keeping_them() -> None:
    """A decoder's error holds its input, so ours must not lead to it."""
    with pytest.raises(CredentialsError, match="the file is not UTF-8") as caught:
        decode_text(b"hush \xff", "the file")

    assert caught.value.__context__ is None


def test_a_link_of_another_user_is_refused_in_a_sticky_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the process is another user than the one who made folder and link."""
    tmp_path.chmod(0o1777)
    write(tmp_path / "keys")
    (tmp_path / "link").symlink_to("keys")
    nobody = Process(os.geteuid() + 65_534, frozenset())
    monkeypatch.setattr(Process, "current", lambda: nobody)
    if os.geteuid() == 0:
        os.lchown(tmp_path / "link", 1, 1)

    with pytest.raises(CredentialsError, match="symbolic link"):
        read_private(tmp_path / "link", "credentials file")

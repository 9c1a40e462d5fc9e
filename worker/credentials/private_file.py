"""Reading of files with secrets. A file that another user may have written, or may read, is rejected.

The table of what is accepted is in README.md, "Files with secrets". The path is followed one component at a time with
file descriptors, and the file's status is that of the descriptor that is read, so nothing can be exchanged in between.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.credentials.access_list import admits_only, read_access_list
from worker.errors import CredentialsError

MAX_BYTES = 64 * 1024 * 1024
"""Limit for a file: four hundred thousand users. Anything longer is not a file of secrets."""

MAX_SYMLINKS = 40
"""As in Linux (path_resolution(7))."""

_O_PATH = getattr(os, "O_PATH", os.O_RDONLY)
"""A folder that is opened by it need not be readable. Only Linux has it."""

_FOLDER = _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC  # O_NONBLOCK: a FIFO would wait

_NEVER_OPEN = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
"""Permissions that no file of secrets may give."""

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}

_MARKS = {
    codecs.BOM_UTF32_LE: "as UTF-32",
    codecs.BOM_UTF32_BE: "as UTF-32",
    codecs.BOM_UTF16_LE: "as UTF-16",
    codecs.BOM_UTF16_BE: "as UTF-16",
    codecs.BOM_UTF8: "with a byte order mark (BOM)",
}
"""How a file is saved, by its first bytes; a mark of UTF-32 begins as one of UTF-16."""


@dataclass(frozen=True, slots=True)
class Process:
    """Whose rights this process has.

    Attributes:
        user: its effective user ID.
        groups: its effective group ID and the supplementary ones.
    """

    user: int
    groups: frozenset[int]

    @classmethod
    def current(cls) -> Process:
        """Return those of this process."""
        return cls(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def read_private(path: Path, what: str) -> tuple[os.stat_result, bytes]:
    """Return a file's status and content, both from the same open file.

    Args:
        path: the file.
        what: what the file is, such as "credentials file"; error messages begin with it.

    Raises:
        CredentialsError: it cannot be read, or another user may have written it or may read it.
    """
    process = Process.current()
    try:
        descriptor = _open(path, process, what)
        try:
            status = os.fstat(descriptor)
            problem = file_problem(status, process, path, read_access_list(descriptor))
            content = b"" if problem else _read(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError as exc:
        raise CredentialsError(f"{what} {path} does not exist: create it, or correct this path") from exc
    except OSError as exc:
        raise CredentialsError(f"{what} {path} cannot be read: {exc.strerror}") from exc
    if problem:
        raise CredentialsError(f"{what} {path} {problem}")
    if len(content) > MAX_BYTES:
        raise CredentialsError(f"{what} {path} is longer than {MAX_BYTES >> 20} MiB")
    return status, content


def decode_text(content: bytes, source: str, errors: str = "strict") -> str:
    """Return the text of a file.

    Args:
        content: what was read.
        source: the file; error messages begin with it.
        errors: what becomes of bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        CredentialsError: it is not UTF-8, or begins with a byte order mark (BOM).
    """
    for mark, saved in _MARKS.items():
        if content.startswith(mark):
            raise CredentialsError(f"{source} is saved {saved}; save it as UTF-8 without BOM")
    if b"\0" in content[:2]:
        raise CredentialsError(f"{source} is saved as UTF-16; save it as UTF-8 without BOM")
    with suppress(UnicodeDecodeError):
        return content.decode(errors=errors)
    # Raised outside `except`, so without cause: the decoder's error contains the content.
    raise CredentialsError(f"{source} is not UTF-8; save it as UTF-8 without BOM")


def file_problem(status: os.stat_result, process: Process, path: Path, access_list: bytes = b"") -> str:
    """Return why an open file must not be used, and the remedy; empty if it may be.

    Args:
        status: of the file.
        process: who reads it.
        path: for the remedy.
        access_list: of the file; empty if it has none.
    """
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return f"is a {_KINDS.get(stat.S_IFMT(status.st_mode), 'special file')}, not a regular file"
    if status.st_uid not in {0, process.user}:
        return f"belongs to another user (ID {status.st_uid}), who may change it; {_owner_remedy(process, path)}"
    if mode & _NEVER_OPEN or (mode & stat.S_IRGRP and not _is_mounted(status, process, access_list)):
        return f"is open to other users; {_mode_remedy(status, process, path)}"
    return ""


def _owner_remedy(process: Process, path: Path) -> str:
    """Return what to do with a file of another user. Root may have been asked to look at a service's file."""
    if process.user == 0:
        return f"if it is that user's service, run this as that user; if root reads it: chown 0 {path}"
    return f"run: chown {process.user} {path}"


def _mode_remedy(status: os.stat_result, process: Process, path: Path) -> str:
    """Return what to do with a file that is open to others. `chmod 600` would close root's to a service's user."""
    if process.user == 0:
        return (
            f"if a service reads it by its group, run this as the service's user; if only root does: chmod 600 {path}"
        )
    if status.st_uid == process.user:
        return f"run: chmod 600 {path}"
    return (
        f"as root: chgrp GROUP {path} && chmod 640 {path}, for a group that this process is in;"
        " if it is mounted: mode 0440 and that group"
    )


def folder_is_shared(status: os.stat_result, process: Process) -> bool:
    """Return whether another user than root may write to a folder, and so could have put a symbolic link there."""
    return status.st_uid not in {0, process.user} or bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _is_mounted(status: os.stat_result, process: Process, access_list: bytes) -> bool:
    """Return whether a file that its group may read is as an orchestrator mounts it: root's, for a group of ours.

    systemd gives its credentials to a service's user by an access list instead (`write_credential` in its
    exec-credential.c). A process that is root itself owns all such files, so there a mount is told by being read-only
    to its owner, too.
    """
    read_only = not status.st_mode & stat.S_IWUSR
    is_for_group = status.st_gid in process.groups and (process.user != 0 or read_only)
    return status.st_uid == 0 and (is_for_group or admits_only(access_list, process.user))


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(MAX_BYTES + 1)


def _open(path: Path, process: Process, what: str) -> int:
    """Return a descriptor of the file at the end of a path.

    Raises:
        CredentialsError: the path goes through a symbolic link in a folder that another user may write to.
        OSError: a component is absent, or may not be opened.
    """
    parts = list(reversed(path.parts))
    folder = os.open(".", _FOLDER)
    walked = Path()
    symlinks = 0
    try:
        while True:
            name = parts.pop() if parts else "."
            target = _symlink_target(name, folder)
            if target is None:
                opened = os.open(name, _FOLDER if parts else _FILE, dir_fd=folder)
                if not parts:
                    return opened
                os.close(folder)
                folder, walked = opened, walked / name
                continue
            status = os.fstat(folder)
            if folder_is_shared(status, process) and not _is_of_mount(name, target, folder, status, process):
                problem = f"is reached by the symbolic link {walked / name}, in a folder that other users may write to"
                raise CredentialsError(f"{what} {path} {problem}; name the file itself")
            symlinks += 1
            if symlinks > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            parts += reversed(Path(target).parts)
    finally:
        os.close(folder)


def _is_of_mount(name: str, target: str, folder: int, status: os.stat_result, process: Process) -> bool:
    """Return whether a symbolic link in a shared folder is as Kubernetes makes them in the folder of a secret.

    That folder is sticky, so that only the owner can replace a link (as for `protected_symlinks` of Linux, proc(5)).
    Links and folder are root's or ours. The links (`..data`, and `keys` to `..data/keys`) do not lead out of it.
    """
    link = os.stat(name, dir_fd=folder, follow_symlinks=False)
    is_inside = not Path(target).is_absolute() and ".." not in Path(target).parts
    is_kept = bool(status.st_mode & stat.S_ISVTX) and {status.st_uid, link.st_uid} <= {0, process.user}
    return is_inside and is_kept and stat.S_ISLNK(link.st_mode)


def _symlink_target(name: str, folder: int) -> str | None:
    """Return what a symbolic link names; None if it is something else."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        return None

"""Child processes and temporary folders that do not outlive this process, however it ends, even by SIGKILL.

    asyncio.create_subprocess_exec(..., process_group=child_group())

Children in that group get no Ctrl-C from the terminal: this process stops them in its own order.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_GUARD = Path(__file__).with_name("guard.py")


def child_group() -> int:
    """Return the process group for children; it is killed when this process has ended. See `ops/guard.py`."""
    return _guard().pid


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end."""
    with TemporaryDirectory(prefix=prefix) as name:
        remove_at_end(Path(name))
        yield Path(name)


def remove_at_end(folder: Path) -> None:
    """Have a folder removed when this process has ended."""
    _tell(f"+{folder}\n")


def keep(folder: Path) -> None:
    """Undo `remove_at_end`."""
    _tell(f"-{folder}\n")


def _tell(line: str) -> None:
    pipe = _guard().stdin
    assert pipe is not None  # noqa: S101 - it is a pipe
    pipe.write(line)
    pipe.flush()


@cache
def _guard() -> subprocess.Popen[str]:
    """Start the guard of this process. It shares standard error: who reads that to its end has waited for the guard."""
    guard = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", "-S", str(_GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    atexit.register(guard.communicate)  # closes the pipe, and waits
    return guard

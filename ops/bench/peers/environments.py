"""Python environments of the peers, `.env/peers/NAME`: made on demand, each from a lock of its own.

Nothing of them is a dependency of the project. A lock pins every distribution with its hashes; `locks/make.sh` makes
the locks anew.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).with_name("locks")
ENVIRONMENTS = Path(__file__).parents[3] / ".env" / "peers"
MADE_FROM = "made-from.lock"
"""The copy of the lock in an environment. It is written last: without it, the environment is incomplete."""


def python_of(name: str) -> Path:
    """Return the Python of an environment, which is made if it is missing or was made from another lock.

    Args:
        name: of its lock, without ".lock".

    Raises:
        subprocess.CalledProcessError: making it failed; the reason is on standard error.
    """
    lock, path = (LOCKS / f"{name}.lock").read_text(encoding="utf-8"), ENVIRONMENTS / name
    made_from = path / MADE_FROM
    if not made_from.is_file() or made_from.read_text(encoding="utf-8") != lock:
        print(f"making the environment .env/peers/{name} (once) of {', '.join(pins(lock))}", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(path))
        install = ("install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")
        _run(str(path / "bin" / "python"), "-m", "pip", *install, "-r", str(LOCKS / f"{name}.lock"))
        made_from.write_text(lock, encoding="utf-8")
    return path / "bin" / "python"


def versions_of(name: str, distributions: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of some distributions that a lock pins.

    Raises:
        KeyError: it does not pin one of them.
    """
    pinned = dict(pin.split("==") for pin in pins((LOCKS / f"{name}.lock").read_text(encoding="utf-8")))
    return {distribution: pinned[distribution] for distribution in distributions}


def pins(lock: str) -> list[str]:
    """Return what a lock pins, as NAME==VERSION."""
    return [line.split()[0] for line in lock.splitlines() if line[:1].isalnum()]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - venv and pip

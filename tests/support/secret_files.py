"""Files with secrets, as an operator writes them."""

from __future__ import annotations

from pathlib import Path


def replace_file(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file as an operator should: beside it, then renamed."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.chmod(mode)
    return beside.rename(path)

"""The files that are made from a report: the page, and its picture."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ops.bench.peers.page import PICTURE, page
from ops.bench.peers.picture import picture
from ops.bench.peers.report import decode

FOLDER = Path(__file__).parents[1]
REPORT = FOLDER / "peers.json"
PAGE = FOLDER / "PEERS.md"
REASONS = FOLDER / "peers" / "missed.toml"
"""Why goals were missed, by the names of the goals: written by people."""


def published(report: Path = REPORT) -> dict[Path, str]:
    """Return the text of each file that is made from a report.

    Args:
        report: the document of a run, in JSON.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is no such document.
    """
    measured = decode(report.read_bytes())
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return {PAGE: page(measured, reasons), FOLDER / PICTURE: picture(measured)}


def publish(report: Path = REPORT) -> None:
    """Write the page and the picture of a report; errors as of `published`."""
    for path, text in published(report).items():
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")

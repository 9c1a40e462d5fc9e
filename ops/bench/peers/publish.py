"""The files that are made from a report: the page, and its picture."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ops.bench.peers.page import page
from ops.bench.peers.picture import picture
from ops.bench.peers.report import decode

REPORT = Path(__file__).parents[1] / "peers.json"
"""The published one. Its page is PEERS.md; the page of another report has the report's name."""

REASONS = Path(__file__).with_name("missed.toml")
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
    drawn = {report.with_suffix(".svg"): picture(measured)}
    if not is_published(report):
        return {report.with_suffix(".md"): page(measured, {}, report.stem), **drawn}
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return {report.with_name("PEERS.md"): page(measured, reasons), **drawn}


def is_published(report: Path) -> bool:
    """Return whether a report is the published one, however its path is written."""
    return report.resolve() == REPORT.resolve()


def publish(report: Path = REPORT) -> None:
    """Write the page and the picture of a report; errors as of `published`."""
    for path, text in published(report).items():
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")

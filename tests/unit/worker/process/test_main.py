"""The command `python -m worker`: what it writes when it cannot start."""

from __future__ import annotations

import sys

import pytest

from worker.process.main import main
from worker.process.supervisor import BAD_START


class Writes(list[str]):
    """A stream that takes note of each call of `write`, as the operating system sees it if Python does not buffer."""

    def write(self, text: str) -> None:
        """Take note of a text."""
        self.append(text)


def test_a_refusal_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that share a standard error refuse at once: the lines of one do not break those of another."""
    writes = Writes()
    monkeypatch.setattr(sys, "stderr", writes)
    monkeypatch.setenv("COPYTRADE_USER_RATE_PER_S", "-1")

    assert main([]) == BAD_START

    (line,) = writes
    assert line.startswith("worker: COPYTRADE_USER_RATE_PER_S: ")
    assert line.endswith("\n")
    assert line.count("\n") == 1

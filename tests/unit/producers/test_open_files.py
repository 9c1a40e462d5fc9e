"""The limit of open files is raised as far as it is needed and permitted."""

from __future__ import annotations

import resource

import pytest

from producers.open_files import raise_limit


class Limits:
    """The system's limits, which a test sets."""

    def __init__(self, soft: int, hard: int, *, is_fixed: bool = False) -> None:
        self.now = soft, hard
        self._is_fixed = is_fixed

    def get(self, _what: int) -> tuple[int, int]:
        """Return them."""
        return self.now

    def set(self, _what: int, limits: tuple[int, int]) -> None:
        """Change them."""
        if self._is_fixed:
            raise PermissionError
        self.now = limits


@pytest.mark.parametrize(
    ("limits", "allowed", "soft"),
    [
        (Limits(1024, 4096), 2000, 2000),
        (Limits(1024, resource.RLIM_INFINITY), 2000, 2000),
        (Limits(1024, 1500), 1500, 1500),
        (Limits(1024, 4096, is_fixed=True), 1024, 1024),
        (Limits(3000, 4096), 2000, 3000),
        (Limits(resource.RLIM_INFINITY, resource.RLIM_INFINITY), 2000, resource.RLIM_INFINITY),
    ],
    ids=["raised", "no hard limit", "a low hard limit", "forbidden", "high enough", "no limit"],
)
def test_the_limit_is_raised_to_what_is_needed(
    limits: Limits, allowed: int, soft: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is told how many files it may have open of those that it needs; a higher limit is left."""
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)

    assert raise_limit(2000) == allowed
    assert limits.now[0] == soft

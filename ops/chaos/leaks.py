"""Finds secrets in files: in logs, in journals, and in Redis's append-only file, which has everything ever stored."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

SIGNATURE = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])")
"""An HMAC-SHA256 in base64."""
PREFIX_CHARS = 3
SHOWN_CHARS = 4
"""Characters of a secret in a finding."""


class SecretFinder:
    """Finds secrets in bytes: plain, in hexadecimal, and in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = {form: secret for secret in secrets for form in _forms(secret)}
        # Thousands of secrets share a few prefixes: find a prefix first, then look up what follows it.
        self._shapes = sorted({(form[:PREFIX_CHARS], len(form)) for form in self._forms})

    def find(self, data: bytes) -> list[str]:
        """Return the secrets in some bytes, each by its first characters; "a signature" for what looks like one."""
        found = {
            self._forms[form]
            for prefix, length in self._shapes
            for at in _places(prefix, data)
            if (form := data[at : at + length]) in self._forms
        }
        shown = {f"{secret[:SHOWN_CHARS]}..." for secret in found}
        return sorted(shown | {"a signature" for _ in SIGNATURE.findall(data)})


def in_files(paths: Iterable[Path], secrets: list[str]) -> list[str]:
    """Return which secret was found in which file."""
    finder = SecretFinder(secrets)
    return [f"{what} in {path.name}" for path in paths if path.exists() for what in finder.find(path.read_bytes())]


def _places(prefix: bytes, data: bytes) -> Iterator[int]:
    """Yield where a prefix begins. Ten times faster than a regular expression that finds overlapping ones too."""
    at = data.find(prefix)
    while at >= 0:
        yield at
        at = data.find(prefix, at + 1)


def _forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    return {plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"=")[:-1]}

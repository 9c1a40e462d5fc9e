"""Secrets where none may be: in logs, in a dump of Redis, in its history."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from redis.asyncio import Redis

KEYS_A_TRIP = 500
SIGNATURE = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])")
"""What an HMAC-SHA256 looks like in base64."""
PREFIX = 3
SHOWN = 4
"""Characters of a secret that a finding shows."""


class Sieve:
    """Finds secrets in bytes, also in hexadecimal and in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = {form: secret for secret in secrets for form in _forms(secret)}
        # Thousands of secrets begin with a few prefixes: find these, then look what follows up.
        shapes = sorted({(form[:PREFIX], len(form) - PREFIX) for form in self._forms})
        parts = [b"(?=(%s.{%d}))" % (re.escape(prefix), rest) for prefix, rest in shapes]
        self._patterns = [re.compile(part, re.DOTALL) for part in parts]

    def find(self, data: bytes) -> list[str]:
        """The secrets in it, each by its first characters; "a signature" for what looks like one."""
        found = {
            self._forms[form] for pattern in self._patterns for form in pattern.findall(data) if form in self._forms
        }
        shown = {f"{secret[:SHOWN]}..." for secret in found}
        return sorted(shown | {"a signature" for _ in SIGNATURE.findall(data)})


def in_files(paths: Iterable[Path], secrets: list[str]) -> list[str]:
    """What was found in files: which secret, in which file."""
    sieve = Sieve(secrets)
    return [f"{what} in {path.name}" for path in paths if path.exists() for what in sieve.find(path.read_bytes())]


async def in_redis(redis: Redis, secrets: list[str], when: str) -> list[str]:
    """What was found in any key of Redis or its name."""
    sieve = Sieve(secrets)
    found = []
    async for batch in _keys(redis):
        async with redis.pipeline(transaction=False) as pipe:
            for key in batch:
                pipe.dump(key)
            values = await pipe.execute()
        for key, value in zip(batch, values, strict=True):
            found += [f"{what} in key {key!r} {when}" for what in sieve.find(key + b"\n" + (value or b""))]
    return found


async def _keys(redis: Redis) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    async for key in redis.scan_iter(count=KEYS_A_TRIP):
        batch.append(key)
        if len(batch) == KEYS_A_TRIP:
            yield batch
            batch = []
    if batch:
        yield batch


def _forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    return {plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"=")[:-1]}

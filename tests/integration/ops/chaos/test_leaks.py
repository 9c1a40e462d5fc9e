"""Secrets are found wherever a chaos run may have left them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.chaos.leaks import Sieve, in_files, in_redis
from ops.chaos.user_keys import UserKeys, replace_file, toml
from ops.exchange.accounts import parse

SECRET = "sk-0123456789abcdef01234567"
OTHER = "pw-fedcba9876543210fedcba98"
SIGNATURE = base64.b64encode(bytes(range(32)))


@pytest.mark.parametrize(
    "text",
    [
        SECRET.encode(),
        f"ERROR request failed: ACCESS-KEY={SECRET}, more".encode(),
        SECRET.encode().hex().encode(),
        base64.b64encode(SECRET.encode()),
        b"sk-sk-sk-0" + SECRET.encode() + b"\x00",
        b"x" * 100_000 + SECRET.encode(),
    ],
)
def test_a_secret_is_found_in_any_form(text: bytes) -> None:
    """In clear, in hexadecimal, in base64, after what only begins like one."""
    assert Sieve([OTHER, SECRET]).find(text) == ["sk-0..."]


@pytest.mark.parametrize("text", [b"", b"sk-0123", b"sk-" + b"0" * 24, b"nothing to see", b"a" * 64])
def test_nothing_else_is_taken_for_a_secret(text: bytes) -> None:
    """Neither what only begins like one, nor long runs of letters."""
    assert Sieve([SECRET, OTHER]).find(text) == []


def test_a_signature_is_told_by_its_form() -> None:
    """Nobody knows it beforehand."""
    assert Sieve([]).find(b'{"ACCESS-SIGN": "' + SIGNATURE + b'"}') == ["a signature"]


def test_a_finding_names_its_file_and_not_the_secret(tmp_path: Path) -> None:
    """What is printed must be no leak itself."""
    log = tmp_path / "worker.log"
    log.write_text(f"password {OTHER}")
    (found,) = in_files([log, tmp_path / "absent.log"], [SECRET, OTHER])

    assert found == "pw-f... in worker.log"


async def test_a_secret_is_found_in_any_key_and_any_kind_of_value(valkey: ArqRedis) -> None:
    """Strings, lists, hashes, sorted sets, streams, and names of keys."""
    await valkey.config_set("rdbcompression", "no")
    async with valkey.pipeline() as pipe:
        pipe.mset({"string": SECRET, f"name:{SECRET}": "x", "innocent": "x"})
        pipe.rpush("list", "x", SECRET)
        pipe.hset("hash", "field", SECRET)
        pipe.zadd("zset", {SECRET: 1})
        pipe.xadd("stream", {"a": SECRET})
        await pipe.execute()

    found = await in_redis(valkey, [SECRET], "now")

    assert len(found) == 6
    assert not any("innocent" in one for one in found)


def test_rotated_keys_are_known_to_the_exchange_beside_the_old_ones(tmp_path: Path) -> None:
    """And all of them stay secrets."""
    ring = UserKeys.of(("1001", "a:b"), seed=1)
    before = dict(ring.current)
    old = ring.rotate(("a:b",))
    path = tmp_path / "keys.toml"
    replace_file(path, toml(ring.current, old.items()))
    accounts = parse(path.read_text())

    assert path.stat().st_mode & 0o077 == 0
    for user, keys_before in before.items():
        for keys in (keys_before, ring.current[user]):
            account = accounts.find(keys.api_key)
            assert account is not None
            assert (account.user, account.passphrase) == (user, keys.passphrase)
    assert set(ring.all()) >= {before["a:b"].secret_key, ring.current["a:b"].secret_key}

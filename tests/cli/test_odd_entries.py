"""Entries that something else wrote to Redis: commands leave them out, and say on standard error how many."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from ops.keys import KEYS
from producers.contract.layout import LAYOUT
from tests.support.copytrade import Copytrade

NO_TEXT = b"\xff\xfe"
LEFT_OUT = "left out 1 stored entry that cannot be read: something else writes to this Redis's keys"


@pytest.mark.parametrize("command", ["paused", "batch list", "dead list", "dead replay --all", "user show 1001"])
def test_a_command_says_how_many_entries_it_left_out(copytrade: Copytrade, command: str) -> None:
    """What it prints to standard output stays as it is; with --json the note is a document."""
    with Redis.from_url(copytrade.dsn) as redis:
        redis.set(KEYS.layout, LAYOUT)
        redis.hset(KEYS.paused, NO_TEXT, b"1")
        for key in (KEYS.batches, KEYS.dead_letters + "rejected"):
            redis.zadd(key, {NO_TEXT: 1})
        redis.hset(KEYS.heads + "1001", NO_TEXT, b"1 1 0 0 i j")

    assert LEFT_OUT in copytrade(*command.split()).stderr.splitlines()
    assert {"malformed": 1} in map(json.loads, copytrade(*command.split(), "--json").stderr.splitlines())

"""The key that a cluster is told of, for each script."""

from __future__ import annotations

import pytest

from producers.contract.keyspace import Keyspace
from producers.transport.scripts import Script

KEYS = Keyspace("{copytrade}")


@pytest.mark.parametrize(
    ("text", "routing_keys"),
    [
        ("return KEY.almost_full + KEY.schedule", (KEYS.never,)),
        ("return KEY.credentials .. KEY.credentials", (KEYS.credentials,)),
        ("return redis.call('TIME')", ()),
    ],
)
def test_a_script_that_uses_several_keys_is_routed_by_one_that_never_exists(
    text: str, routing_keys: tuple[str, ...]
) -> None:
    """So a slot that is being moved refuses it before it runs. A script of one key cannot meet a part of its keys."""
    assert Script(text).bind(KEYS).routing_keys == routing_keys

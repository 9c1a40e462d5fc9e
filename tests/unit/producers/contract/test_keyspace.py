"""Keys: no ID reaches the keys of another."""

from __future__ import annotations

import itertools

import pytest

from producers.contract import keyspace

AWKWARD = ["1", "1:2", "1%3A2", "%", "%25", "%3A", ":", "::", "a:b:c", "1%", "%253A", "settings", "1:settings"]


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(AWKWARD, 2)))
def test_no_two_users_share_a_bucket(one: str, other: str) -> None:
    """Separators in an ID are escaped, which keeps `1` and `1:2` apart."""
    assert keyspace.bucket(keyspace.lane(one, "t")) != keyspace.bucket(keyspace.lane(other, "t"))


@pytest.mark.parametrize("user", AWKWARD)
def test_all_lanes_of_a_user_share_its_bucket(user: str) -> None:
    """The rate limit belongs to the user, whatever the trader."""
    assert len({keyspace.bucket(keyspace.lane(user, trader)) for trader in AWKWARD}) == 1


@pytest.mark.parametrize("user", AWKWARD)
def test_the_user_of_a_lane_is_the_part_before_the_first_colon(user: str) -> None:
    """Scripts find the user this way."""
    assert keyspace.lane(user, "t:1").partition(":")[0] == keyspace.escape(user)
    assert ":" not in keyspace.escape(user)


def test_ids_without_separators_are_not_escaped() -> None:
    """Keys of ordinary IDs stay readable in Redis."""
    assert keyspace.lane("1001", "123123123") == "1001:123123123"
    assert keyspace.bucket("1001:123123123") == "copytrade:bucket:1001:settings"


def test_no_key_prefix_is_the_beginning_of_another() -> None:
    """So no ID leads from one kind of key to another."""
    prefixes = [
        keyspace.LANE,
        keyspace.HEAD,
        keyspace.BUCKET,
        keyspace.EGRESS,
        keyspace.FAILURES,
        keyspace.JOB,
        keyspace.RESULT,
        keyspace.JOB_DONE,
    ]
    fixed = [keyspace.SCHEDULE, keyspace.WAKEUPS, keyspace.COUNTS, keyspace.CONTROL_QUEUE]

    for one, other in itertools.permutations([*prefixes, *fixed], 2):
        assert not other.startswith(one)

"""The keyspaces of a queue that is spread over several."""

from __future__ import annotations

from bisect import bisect
from collections import Counter

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from producers.contract.shards import shard_keyspaces, shard_of


@pytest.mark.parametrize("shards", [2, 3, 4, 7, 64])
def test_the_slots_are_spread_evenly_over_a_cluster(shards: int) -> None:
    """Each lies in another of the equal parts that the primaries of a new cluster get."""
    slots = [key_slot(keys.tag.encode()) for keys in shard_keyspaces("copytrade", shards)]

    assert [slot * shards // SLOTS for slot in slots] == list(range(shards))


@pytest.mark.parametrize("primaries", [2, 3, 5, 16])
def test_a_new_cluster_has_as_many_shards_on_each_primary_if_they_can_be_divided(primaries: int) -> None:
    """Primaries begin where redis-cli lets them begin."""
    begins = [round(SLOTS / primaries * number) for number in range(primaries)]
    for each in range(1, 64 // primaries + 1):
        slots = [key_slot(keys.tag.encode()) for keys in shard_keyspaces("copytrade", each * primaries)]
        assert {*Counter(bisect(begins, slot) for slot in slots).values()} == {each}


def test_tags_do_not_change() -> None:
    """Another tag would hide what is stored."""
    assert [keys.tag for keys in shard_keyspaces("copytrade", 3)] == [
        "{copytrade/0.4}",
        "{copytrade/1}",
        "{copytrade/2.1}",
    ]


def test_a_user_is_in_the_same_shard_for_every_program() -> None:
    """The hash of Python's strings differs from process to process."""
    assert [shard_of(user, 4) for user in ("1001", "1002", "ü")] == [1, 3, 1]


def test_users_are_spread_evenly() -> None:
    """No shard of four has more than 27 % of consecutive numbers."""
    assert max(Counter(shard_of(str(number), 4) for number in range(10_000)).values()) < 2_700

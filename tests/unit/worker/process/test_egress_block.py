"""An egress that is blocked in one shard."""

from __future__ import annotations

from worker.process.egress_block import EgressBlock


def test_a_shard_that_is_blocked_stops_the_others_and_claims_its_own_probes() -> None:
    """Until a claim of it finds the egress free again."""
    block = EgressBlock()
    block.set(1, is_blocked=True, has_probe=True)

    assert [block.stops(shard) for shard in range(3)] == [True, False, True]

    block.set(1, is_blocked=False, has_probe=False)

    assert not any(block.stops(shard) for shard in range(3))


def test_two_shards_that_are_blocked_both_probe() -> None:
    """Neither waits for the other."""
    block = EgressBlock()
    block.set(0, is_blocked=True, has_probe=True)
    block.set(1, is_blocked=True, has_probe=True)

    assert [block.stops(shard) for shard in range(3)] == [False, False, True]


def test_a_shard_without_anybody_to_probe_stops_nobody() -> None:
    """Its breaker would stay open until a user comes."""
    block = EgressBlock()
    block.set(1, is_blocked=True, has_probe=False)

    assert not block.stops(0)


def test_dispatchers_are_told_when_the_block_changes() -> None:
    """They wait for nothing else meanwhile."""
    block, told = EgressBlock(), []
    block.on_change(lambda: told.append(block.stops(0)))
    block.set(1, is_blocked=True, has_probe=True)
    block.set(1, is_blocked=True, has_probe=True)
    block.set(1, is_blocked=False, has_probe=False)

    assert told == [True, False]

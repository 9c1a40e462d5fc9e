"""Attempts in hand, shared by the dispatchers of a worker's shards."""

from __future__ import annotations

import asyncio

from worker.process.hand import CLAIM_BATCH_SIZE, AttemptsInHand


def test_a_claim_reserves_what_is_free_and_no_more_than_a_batch() -> None:
    """What it did not take is given back."""
    hand = AttemptsInHand(CLAIM_BATCH_SIZE + 3)
    place = hand.place()

    assert (place.reserve(), place.reserve(), place.reserve()) == (CLAIM_BATCH_SIZE, 3, 0)
    hand.release(2)
    assert place.reserve() == 2


def test_one_of_four_dispatchers_reserves_a_quarter() -> None:
    """If its Redis does not answer, the others go on."""
    hand = AttemptsInHand(100, 4)

    assert [hand.place().reserve() for _ in range(5)] == [25, 25, 25, 25, 0]


async def test_dispatchers_that_wait_claim_in_turn() -> None:
    """One that comes later stands behind them, although a place is free."""
    hand = AttemptsInHand(1)
    first, second, third = hand.place(), hand.place(), hand.place()
    assert first.reserve() == 1
    assert second.reserve() == 0
    assert third.reserve() == 0
    hand.release()

    assert first.reserve() == 0
    await asyncio.wait_for(second.wait_turn(), timeout=30)
    assert second.reserve() == 1
    hand.release()
    await asyncio.wait_for(third.wait_turn(), timeout=30)
    assert third.reserve() == 1
    hand.release()
    await asyncio.wait_for(first.wait_turn(), timeout=30)


async def test_one_that_leaves_the_line_lets_the_next_have_its_turn() -> None:
    """As a dispatcher does that stops."""
    hand = AttemptsInHand(1)
    first, second, third = hand.place(), hand.place(), hand.place()
    assert [place.reserve() for place in (first, second, third)] == [1, 0, 0]
    hand.release()
    second.leave()

    await asyncio.wait_for(third.wait_turn(), timeout=30)
    assert third.reserve() == 1


async def test_an_attempt_that_must_be_alone_waits_for_the_others_and_holds_up_new_ones() -> None:
    """Two that must be alone do not wait for each other."""
    hand = AttemptsInHand(3)
    one, other, place = hand.place(), hand.place(), hand.place()
    assert one.reserve() == 3
    hand.release(2)  # it claimed one
    assert other.reserve() == 2
    hand.release(1)
    order = []

    async def alone(name: str) -> None:
        async with hand.alone():
            order.append(name)
            assert place.reserve() == 0
            hand.release()  # its attempt ends

    async with asyncio.timeout(30):
        await asyncio.gather(alone("one"), alone("other"))
        await place.wait_turn()

    assert order == ["one", "other"]
    assert place.reserve() == 3

"""The overview and the checks of a queue from those of its shards."""

from __future__ import annotations

from producers.contract.messages import Outcome
from producers.monitor.merged_overview import merge_overviews
from producers.monitor.queue_metrics import Memory, fullest
from producers.queue.pauses import Pause
from tests.support.overviews import NOW_MS, egress, load, overview, worker

EVERYTHING = Pause("everything", "", NOW_MS - 5)


def test_counts_are_added_up_and_what_is_in_every_shard_counts_once() -> None:
    """Workers, batches, and the pauses of all but users."""
    first = overview(
        interactive=load(3, 2, 1.5),
        outcomes=dict.fromkeys(Outcome, 1),
        dead={"rejected": 1},
        pauses=[EVERYTHING, Pause("user", "1", NOW_MS)],
        pauses_total=2,
        batches=4,
        workers=[worker(), worker(name="b-1-00")],
    )
    second = overview(
        interactive=load(4, 1, 2.5),
        outcomes=dict.fromkeys(Outcome, 2),
        dead={"rejected": 3},
        pauses=[Pause("everything", "", NOW_MS - 4)],
        pauses_total=1,
        batches=3,
        workers=[worker(session="s2")],
    )

    found = merge_overviews([first, second])

    assert found.interactive == load(7, 3, 2.5)
    assert found.outcomes == dict.fromkeys(Outcome, 3)
    assert found.dead == {"rejected": 4}
    assert (found.pauses, found.pauses_total) == ([EVERYTHING, Pause("user", "1", NOW_MS)], 2)
    assert (found.batches, [each.name for each in found.workers]) == (4, ["a-1-00", "b-1-00"])


def test_an_egress_is_in_trouble_if_it_is_in_one_shard() -> None:
    """Its requests are those of all shards."""
    sound = egress(requests=3, backlog_s=0.2, floor_ms=50.0, workers=2)
    broken = egress(requests=4, trouble="failing", probe_in_s=7.0, paused=True, floor_ms=None, pinned_users=1)

    (found,) = merge_overviews([overview(egresses=[sound]), overview(egresses=[broken])]).egresses

    assert (found.requests, found.backlog_s, found.floor_ms, found.workers) == (7, 0.2, 50.0, 2)
    assert (found.trouble, found.probe_in_s, found.paused, found.pinned_users) == ("failing", 7.0, True, 1)


def test_the_only_overview_is_that_of_the_queue() -> None:
    """Without shards."""
    one = overview()

    assert merge_overviews([one]) is one


def test_the_memory_that_is_shown_is_that_of_the_fullest_server() -> None:
    """By share; without a limit, by size."""
    assert fullest([Memory(10, 100), None, Memory(9, 10), Memory(5000, 0)]) == Memory(9, 10)
    assert fullest([Memory(10, 0), Memory(20, 0)]) == Memory(20, 0)
    assert fullest([None]) is None

"""The queue as metrics."""

from __future__ import annotations

import pytest

from producers.monitor.instruments import Counter, Gauge
from producers.monitor.queue_metrics import Memory, memory_of, queue_metrics
from tests.support.overviews import egress, load, overview


def numbers_of(name: str, **changed: object) -> dict[tuple[str, ...], float | None]:
    """Return the numbers of a metric by its labels, of an idle queue with some fields changed."""
    (found,) = [family for family in queue_metrics(overview(**changed), None) if family.name == name]
    if isinstance(found, Counter):
        return dict(found.values)
    assert isinstance(found, Gauge)
    return {labels: read() for labels, read in found.readers.items()}


def test_scheduled_users_are_due_or_later() -> None:
    """By their priority; together they are all."""
    assert numbers_of("copytrade_queue_users", bulk=load(users=7, due=3)) == {
        ("interactive", "due"): 0,
        ("interactive", "later"): 0,
        ("bulk", "due"): 3,
        ("bulk", "later"): 4,
    }


@pytest.mark.parametrize("trouble", ["failing", "throttled", "refused 40037", None])
def test_an_open_breaker_says_for_which_trouble(trouble: str | None) -> None:
    """Without the exchange's code; the other troubles are 0, so that an alert ends."""
    found = numbers_of("copytrade_egress_breaker_open", egresses=[egress(trouble=trouble)])

    assert found == {
        ("north", kind): int(trouble is not None and trouble.startswith(kind))
        for kind in ("failing", "throttled", "refused")
    }


def test_an_egress_without_workers_has_no_limit() -> None:
    """And one without requests no round trip: a 0 would be taken for one."""
    egresses = [egress(), egress(name="south", workers=0, rate_per_s=None, floor_ms=None)]

    assert numbers_of("copytrade_egress_limit_per_second", egresses=egresses) == {("north",): 100}
    assert numbers_of("copytrade_egress_round_trip_floor_seconds", egresses=egresses) == {("north",): 0.04}
    assert numbers_of("copytrade_queue_workers", egresses=egresses) == {("north",): 1, ("south",): 0}


def test_without_redis_nothing_is_known_but_that() -> None:
    """A value that was read before would look like a new one."""
    assert [family.name for family in queue_metrics(None, None)] == ["copytrade_queue_up"]


def test_the_memory_is_what_counts_against_the_limit() -> None:
    """Redis leaves the buffers of replicas and of the append-only file out when it compares."""
    info = {"used_memory": 1000, "mem_not_counted_for_evict": 100, "maxmemory": 2000}

    assert memory_of(info) == Memory(used=900, limit=2000)
    assert memory_of({"used_memory": "1.5G"}) is None

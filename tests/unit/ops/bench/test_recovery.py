"""The figures of the recovery benchmark: the lanes that a killed worker held are told from the arrivals alone."""

from __future__ import annotations

from ops.bench.measurement import NS_PER_S
from ops.bench.recovery import Kind, lost_lanes, waits_by_lane

KILLED_NS = 100 * NS_PER_S


def arrival(user: str, trader: str, at_s: float, answered_s: float, *, disconnected: bool = False) -> dict[str, object]:
    """Return an arrival as the double reports it; the times count from the kill."""
    return {
        "user": user,
        "trader": trader,
        "at_ns": KILLED_NS + round(at_s * NS_PER_S),
        "answered_ns": KILLED_NS + round(answered_s * NS_PER_S),
        "disconnected": disconnected,
    }


ARRIVALS = [
    arrival("early", "1", -2, -1.5, disconnected=True),  # another client left before the kill
    arrival("lost", "1", -0.3, 0.1, disconnected=True),
    arrival("kept", "1", -0.2, 0.2),
    arrival("lost", "2", -0.1, 0.3, disconnected=True),
    arrival("kept", "1", 0.3, 0.7),
    arrival("lost", "2", 3, 3.4),
    arrival("later", "1", 3.2, 3.6, disconnected=True),
    arrival("lost", "1", 4, 4.4),
    arrival("lost", "1", 5, 5.4),
]


def test_lanes_are_lost_whose_request_in_progress_lost_its_client() -> None:
    """Requests of the surviving worker, and those that ended or began at another time, are none of the victim's."""
    assert lost_lanes(ARRIVALS, KILLED_NS) == [("lost", "1"), ("lost", "2")]


def test_a_lane_waits_until_its_first_request_after_the_kill() -> None:
    """Two lanes of a user wait each for its own."""
    waits_s = waits_by_lane(ARRIVALS, KILLED_NS)
    assert [waits_s[lane] for lane in (("lost", "1"), ("lost", "2"), ("kept", "1"))] == [4, 3, 0.3]


def test_the_worst_wait_of_all_kills_is_judged() -> None:
    """One lane of one kill misses the target for all."""
    lanes, median, worst = Kind("at", 4.5, [[1.0, 2.0], [3.0], [4.6]]).measurements()
    assert (lanes.value, median.value, worst.value, worst.met) == (4, 2.5, 4.6, False)

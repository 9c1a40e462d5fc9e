"""Whether Redis's clock runs like the monotonic one."""

from __future__ import annotations

import pytest

from worker.queue.redis_clock import RedisClockMonitor

UNIX_S = 1_790_000_000.0


@pytest.mark.parametrize(
    ("step_s", "steady_s"),
    [(0.0, 7.0), (0.1, 7.0), (60.0, 2.0), (0.6, 2.0), (-60.0, 2.0)],
    ids=["none", "a slow reply", "forward", "half a second", "back"],
)
def test_the_clock_is_steady_since_it_was_last_set(step_s: float, steady_s: float) -> None:
    """Seen at 0 s and 5 s, then set, then seen at 5 s and 7 s."""
    monitor = RedisClockMonitor()
    readings = [monitor.observe(UNIX_S + at_s, at_s, at_s + 0.001) for at_s in (0.0, 5.0)]
    readings += [monitor.observe(UNIX_S + at_s + step_s, at_s, at_s + 0.001) for at_s in (5.0, 7.0)]

    assert readings[0] == 0.0
    assert readings[1] == pytest.approx(5.0)
    assert readings[3] == pytest.approx(steady_s)


def test_a_reading_that_took_long_shows_nothing() -> None:
    """Redis's time may be of any moment of the wait; the readings around it still count."""
    monitor = RedisClockMonitor()
    monitor.observe(UNIX_S, 0.0, 0.001)

    assert monitor.observe(UNIX_S + 3.0, 1.0, 3.0) == 0.0
    assert monitor.observe(UNIX_S + 4.0, 4.0, 4.001) == pytest.approx(4.0)

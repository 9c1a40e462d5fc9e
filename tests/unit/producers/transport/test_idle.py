"""Which idle connection is used, and which ones are closed."""

from __future__ import annotations

from producers.transport.idle import MAX_IDLE_S, IdleConnections


def test_the_latest_idle_connection_is_used_and_the_oldest_expire() -> None:
    """So the connections that a load no longer needs grow old."""
    idle: IdleConnections[str] = IdleConnections()
    for second, name in enumerate("abcd"):
        idle.add(name, second)

    assert idle.pop_latest() == "d"
    assert idle.pop_expired(MAX_IDLE_S - 1) == []
    assert idle.expires_in_s(MAX_IDLE_S - 1) == 1
    assert idle.pop_expired(MAX_IDLE_S + 1) == ["a", "b"]
    assert idle.pop_all() == ["c"]
    assert (idle.pop_latest(), idle.expires_in_s(0)) == (None, None)

"""What to do about an error, where that depends on the kind of server."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport.explain import describe, is_wrong_server
from producers.transport.slot_owner import SlotOwner

NODE = ("10.0.0.1", 7000)


def caused(error: RedisError, cause: OSError) -> RedisError:
    """Return an error as redis-py raises it."""
    error.__cause__ = cause
    return error


ELECTION = "an election may be under way: wait some seconds"
LOST = [
    (caused(RedisConnectionError("Error 111"), ConnectionRefusedError(111, "refused")), "start it", "start the node"),
    (RedisTimeoutError("slow"), "a port with TLS needs rediss://", "ports with TLS need ?tls=true"),
    (RedisConnectionError("Connection closed by server."), "begin COPYTRADE_REDIS_DSN with rediss", "add ?tls=true"),
    (RedisConnectionError("odd"), "start it", "start it"),
]


@pytest.mark.parametrize(("error", "alone", "in_cluster"), LOST, ids=lambda value: repr(value)[:30])
def test_a_node_of_a_cluster_that_is_lost_may_be_replaced_by_an_election(
    error: RedisError, alone: str, in_cluster: str
) -> None:
    """And TLS is an option of its DSN. Neither is said of a single server."""
    single = describe(error)
    searched = describe(SlotOwner("{copytrade}", [NODE]).not_found([error]))
    SlotOwner("{copytrade}", [NODE]).has_moved(error, NODE)

    assert alone in single
    assert ELECTION not in single
    assert "?tls" not in single
    for said in (searched, describe(error)):
        assert ELECTION in said
        assert in_cluster in said
        assert "rediss" not in said


@pytest.mark.parametrize(
    "text", ["MOVED 7 a:1", "CROSSSLOT Keys in request don't hash to the same slot", "ERR cluster support disabled"]
)
def test_a_server_of_another_kind_than_the_dsn_says_is_told_from_one_that_is_away(text: str) -> None:
    """No time mends it. A key of another slot, used on a cluster's client, says nothing of the DSN."""
    error = ResponseError(text)
    is_wrong = is_wrong_server(error)
    SlotOwner("{copytrade}", [NODE]).has_moved(error, NODE)

    assert is_wrong
    assert is_wrong_server(error) == ("support disabled" in text)
    assert not is_wrong_server(RedisTimeoutError("slow"))


@pytest.mark.parametrize(
    "text",
    [
        "No permissions to access a key",
        "this user has no permissions to access one of the keys used as arguments",
        "The user executing the script can't access at least one of the keys mentioned in the command arguments",
        "No permissions to access a channel",
    ],
)
def test_a_refused_key_points_to_the_patterns_of_other_tags(text: str) -> None:
    """A refused command does not."""
    assert "ops/ACL.md" in describe(NoPermissionError(text))
    assert "ops/ACL.md" in describe(ResponseError(f"ACL failure in script: {text}"))
    assert "ops/ACL.md" not in describe(NoPermissionError("this user has no permissions to run the 'info' command"))

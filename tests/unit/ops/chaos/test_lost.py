"""What a replica had not got: found in the primary's append-only file, and taken out of what is judged."""

from __future__ import annotations

import pytest

from ops.chaos.checks import judge
from ops.chaos.lost import Lost, after_mark
from producers.contract.keyspace import Keyspace
from tests.support.chaos_evidence import arrival, broken, sound

KEYS = Keyspace("{copytrade}")
USERS = ("u", "v", "a:b", "w")


def written(*commands: str) -> bytes:
    """Return an append-only file with some commands."""
    lines = []
    for command in commands:
        words = command.split()
        lines += [f"*{len(words)}", *(line for word in words for line in (f"${len(word)}", word))]
    return "".join(f"{line}\r\n" for line in lines).encode()


HISTORY = written(
    "SET {copytrade}:mark 1",
    "DEL {copytrade}:heads:w",
    "SET {copytrade}:mark 2",
    "HSET {copytrade}:heads:u t 1",
    "ZADD {copytrade}:users:bulk 5 a%3Ab",
    "HINCRBY {copytrade}:batch:b finished 1",
)


def test_what_is_after_the_last_mark_that_the_replica_has_may_be_lost() -> None:
    """Users are found in keys and in members; marks and commands of before do not count."""
    lost = Lost()

    lost.add(after_mark(HISTORY, KEYS, 2, 3), KEYS, USERS)
    assert lost == Lost(takeovers=1, commands=3, users={"u", "a:b"}, batches={"b"})
    lost.add(after_mark(HISTORY, KEYS, 1, 3), KEYS, USERS)
    assert lost == Lost(takeovers=2, commands=8, users={"u", "a:b", "w"}, batches={"b"})


def test_what_a_primary_got_as_a_replica_is_not_lost() -> None:
    """It begins with the first mark of the new primary; the command of the mark has begun before that."""
    lost = Lost()

    lost.add(after_mark(HISTORY, KEYS, 1, 2), KEYS, USERS)
    assert lost == Lost(takeovers=1, commands=2, users={"w"})


def test_a_history_without_the_mark_is_an_error() -> None:
    """Then nobody can tell what was lost."""
    with pytest.raises(ValueError, match="no mark 3"):
        after_mark(HISTORY, KEYS, 3, 4)


def test_a_violation_about_a_user_of_whom_something_is_lost_is_explained() -> None:
    """A change that was accepted and is gone, and a request after its end; it is counted by guarantee."""
    seen = sound()
    seen.arrivals.append(arrival(1, 20))
    seen.final_settings = {**seen.final_settings}
    assert broken(seen) == {"nothing is sent after its end", "lanes keep their order"}

    seen.lost.users.add("u")
    assert broken(seen) == set()
    assert judge(seen).explained.keys() == {"nothing is sent after its end", "lanes keep their order"}


def test_a_violation_about_another_user_is_one() -> None:
    """Whatever is lost of others."""
    seen = sound()
    seen.results.pop("b..1")
    seen.counters = {"applied": 4}
    seen.lost.users.add("u")

    assert "nothing is lost" in broken(seen)


def test_counters_that_differ_from_the_results_are_not_explained() -> None:
    """One script writes both, so that they are lost together."""
    seen = sound()
    seen.counters = {"applied": 6}
    seen.lost.users |= {"u", "v", "w"}

    assert broken(seen) == {"counters agree with results"}

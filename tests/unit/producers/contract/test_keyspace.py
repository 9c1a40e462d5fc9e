"""Keys: no ID reaches the keys of another."""

from __future__ import annotations

import itertools

import pytest

from ops.keys import KEYS
from producers.contract import ids, keyspace
from producers.contract.keyspace import Keyspace

AWKWARD = ["1", "1:2", "1%3A2", "%", "%25", "%3A", ":", "::", "a:b:c", "1%", "%253A", "settings", "1:settings"]


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(AWKWARD, 2)))
def test_no_two_users_share_a_bucket(one: str, other: str) -> None:
    """Separators in an ID are escaped, which keeps `1` and `1:2` apart."""
    assert KEYS.bucket_of(keyspace.lane(one, "t")) != KEYS.bucket_of(keyspace.lane(other, "t"))


@pytest.mark.parametrize("user", AWKWARD)
def test_all_lanes_of_a_user_share_its_bucket(user: str) -> None:
    """The rate limit belongs to the user, whatever the trader."""
    assert len({KEYS.bucket_of(keyspace.lane(user, trader)) for trader in AWKWARD}) == 1


@pytest.mark.parametrize("user", AWKWARD)
def test_the_user_of_a_lane_is_the_part_before_the_first_colon(user: str) -> None:
    """Scripts find the user this way."""
    assert keyspace.lane(user, "t:1").partition(":")[0] == keyspace.escape(user)
    assert ":" not in keyspace.escape(user)


BATCH_OF = {
    "july..1001": "july",
    "july...1": "july",
    "july..a..b": "july",
    "july//1001": "july",
    "a..b//1001": "a..b",
    "july//x..y": "july",
    "order-7": None,
    "a/b.c": None,
    "../x": None,
    "//x": None,
}
"""Job IDs and their batches: of this version, of earlier ones (with slashes), and of no batch."""


@pytest.mark.parametrize(("job_id", "batch_id"), BATCH_OF.items())
def test_the_batch_of_a_job_id_is_before_the_first_mark(job_id: str, batch_id: str | None) -> None:
    """That of earlier versions counts first: their batch IDs may contain the new one, and never a slash."""
    assert ids.batch_id_of(job_id) == batch_id


@pytest.mark.parametrize(
    ("job_id", "other"), [("july..1", "july//1"), ("july//1", "july..1"), ("order-7", None), ("../x", None)]
)
def test_a_job_id_of_a_batch_has_another_form(job_id: str, other: str | None) -> None:
    """It is looked for where the given one does not exist."""
    assert ids.other_form(job_id) == other


def test_ids_without_separators_are_not_escaped() -> None:
    """Keys of ordinary IDs stay readable in Redis."""
    assert keyspace.lane("1001", "123123123") == "1001:123123123"
    assert KEYS.bucket_of("1001:123123123") == "copytrade:slots:1001:settings"


def test_no_key_prefix_is_the_beginning_of_another() -> None:
    """So no ID leads from one kind of key to another."""
    prefixes = [
        KEYS.lanes,
        KEYS.bulk_lanes,
        KEYS.heads,
        KEYS.rest,
        KEYS.attempts,
        KEYS.held,
        KEYS.taken,
        KEYS.parked,
        KEYS.bucket,
        KEYS.egress,
        KEYS.failures,
        KEYS.job,
        KEYS.result,
        KEYS.job_done,
    ]
    fixed = [KEYS.schedule, KEYS.bulk_schedule, KEYS.sessions, KEYS.wakeups, KEYS.counts, keyspace.CONTROL_QUEUE]

    for one, other in itertools.permutations([*prefixes, *fixed], 2):
        assert not other.startswith(one)


def test_all_names_of_a_tagged_keyspace_begin_with_its_tag() -> None:
    """So Redis Cluster keeps them in one slot."""
    tagged = Keyspace("{copytrade}")
    names = {name: getattr(tagged, name) for name in vars(Keyspace) if not name.startswith("_") and name != "bucket_of"}

    assert all(name.startswith("{copytrade}:") for name in names.values())
    assert len(set(names.values())) == len(names) > 20
    assert (tagged.job, KEYS.job) == ("{copytrade}:arq:job:", "arq:job:")
    assert tagged.bucket_of("1001:t1") == "{copytrade}:slots:1001:settings"

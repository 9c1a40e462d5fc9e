"""What the doctor finds of a cluster."""

from __future__ import annotations

import pytest

from producers.monitor.cluster_checks import check_cluster, check_unserved

SLOTS = {"{copytrade}": 7000, "{copytrade/0}": 12}
WHERE = "{copytrade} (slot 7000), {copytrade/0} (slot 12) on 10.0.0.1:6379"
FINE = {"cluster_state": "ok", "cluster_slots_ok": "16384", "cluster_size": "3"}
NOT_SERVED = "its state is fail, and 10,922 of 16,384 slots are served"
TORN = {"cluster_state": "fail", "cluster_slots_ok": "10922", "cluster_size": "3"}


@pytest.mark.parametrize(
    ("replicas", "state", "status", "detail"),
    [
        (1, FINE, "ok", f"{WHERE}, with 1 replica; the cluster has 3 primaries"),
        (0, FINE, "warn", f"{WHERE}, with 0 replicas; the cluster has 3 primaries"),
        (2, {}, "ok", f"{WHERE}, with 2 replicas"),
        (None, FINE, "ok", f"{WHERE}; the cluster has 3 primaries"),
        (
            1,
            TORN,
            "fail",
            f"{WHERE}, with 1 replica; the cluster has 3 primaries; {NOT_SERVED}",
        ),
    ],
    ids=["fine", "without a replica", "may not ask", "may not ask for replicas", "slots not served"],
)
def test_the_slots_are_named_with_their_owner_and_what_is_wrong(
    replicas: int | None, state: dict[str, str], status: str, detail: str
) -> None:
    """A finding that needs action says what to do."""
    check = check_cluster(SLOTS, "10.0.0.1:6379", replicas, state)

    assert (check.name, check.status, check.detail) == ("cluster", status, detail)
    assert bool(check.hint) == (status != "ok")


@pytest.mark.parametrize(
    ("name", "detail"),
    [("shard 1", "shard 1, {copytrade/1} (slot 8905): away"), ("", "{copytrade/1} (slot 8905): away")],
)
def test_a_keyspace_that_does_not_answer_is_named_with_its_slot(name: str, detail: str) -> None:
    """With what to do, whether or not the error tells it."""
    found = [check_unserved(name, "{copytrade/1}", 8905, "away", remedy) for remedy in ("start it", "")]

    assert [(check.name, check.status, check.detail) for check in found] == [("cluster", "fail", detail)] * 2
    assert found[0].hint == "start it"
    assert found[1].hint

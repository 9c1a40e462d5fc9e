"""What a client knows of the owner of its slot, by what nodes reply."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.contract.keyspace import Keyspace
from producers.transport.connections import DEMOTED, MAX_CLIENTS, NotConnected, PrimaryDemoted
from producers.transport.slot_owner import ASKED_NODES, Address, SlotOwner

TAG = "{copytrade}"
SLOT = 9263
A, B, C, D, E = (("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3), ("10.0.0.4", 4), ("10.0.0.5", 5))


def reply(owner: Address, *replicas: Address, others: Address = E) -> list[Any]:
    """Return a reply to CLUSTER SLOTS: one node owns our slot, another all others."""

    def node(address: Address) -> list[Any]:
        return [address[0].encode(), address[1], b"its ID", [b"hostname", b"cache-1"]]

    return [
        [0, SLOT - 1, node(others)],
        [SLOT, SLOT, node(owner), *map(node, replicas)],
        [SLOT + 1, 16383, node(others)],
    ]


def moved(to: str) -> ResponseError:
    return ResponseError(f"MOVED {SLOT} {to}")


@pytest.fixture
def owner() -> SlotOwner:
    """The owner is A, as A has said; B is its replica."""
    owner = SlotOwner(TAG, [A])
    owner.nodes_to_ask()
    owner.learn(reply(A, B), A)
    return owner


def test_all_keys_of_a_queue_are_in_the_slot_that_is_followed() -> None:
    """Those of arq too."""
    keys = Keyspace(TAG)

    assert {key_slot(key.encode()) for key in (keys.sessions, keys.counts, f"{keys.result}j1")} == {SLOT}
    assert SlotOwner(TAG, [A]).slot == SLOT


def test_the_owner_is_the_primary_of_the_slots_range(owner: SlotOwner) -> None:
    """Hosts and ports are text and a number."""
    assert owner.address == A


def test_nodes_that_were_found_are_asked_when_those_of_the_dsn_are_gone(owner: SlotOwner) -> None:
    """Each search asks a few, the next one others, until all had their turn."""
    owner.learn(reply(A, B, C, D), A)
    owner.has_moved(RedisTimeoutError("slow"), A)

    assert owner.nodes_to_ask() == (E, B, C)
    assert owner.nodes_to_ask() == (D, A, E)


def test_a_search_asks_few_nodes() -> None:
    """So that it ends in time, however many the DSN names."""
    owner = SlotOwner(TAG, [A, B, C, D, E])

    assert owner.nodes_to_ask() == (A, B, C)
    assert owner.nodes_to_ask() == (D, E, A)
    assert ASKED_NODES == 3


def test_nodes_of_the_dsn_that_the_cluster_does_not_name_are_asked_last() -> None:
    """They may be gone, or be a name that leads to any node."""
    owner = SlotOwner(TAG, [("gone", 1), A])
    owner.nodes_to_ask()
    owner.learn(reply(A, B), A)

    assert owner.nodes_to_ask() == (A, E, B)
    assert owner.nodes_to_ask()[0] == ("gone", 1)


@pytest.mark.parametrize("said", [[], reply(A)[:1], reply(("?", 7000), B)], ids=["reset", "no owner", "no name yet"])
def test_a_node_that_knows_no_owner_changes_nothing(owner: SlotOwner, said: list[Any]) -> None:
    """It may have left the cluster: the nodes that are known stay known."""
    owner.has_moved(RedisTimeoutError("slow"), A)

    assert owner.learn(said, E) is None
    assert owner.address is None
    assert set(owner.nodes_to_ask()) == {E, B, A}


def test_a_node_without_a_host_is_where_the_asked_one_is() -> None:
    """Redis announces no host behind some proxies ("unknown-endpoint"), and none as long as a node knows no own."""
    for host in (None, b""):
        owner = SlotOwner(TAG, [("proxy", 7000)])

        assert owner.learn([[0, 16383, [host, 7001, b"id"], [host, 7002, b"id"]]], ("proxy", 7000)) == ("proxy", 7001)


def test_a_replica_without_a_name_is_not_asked() -> None:
    """A host of "?" is none."""
    owner = SlotOwner(TAG, [A])
    owner.learn(reply(A, ("?", 7000)), A)

    assert owner.nodes_to_ask() == (A, E)


@pytest.mark.parametrize(
    ("to", "first"),
    [("10.0.0.3:3", C), ("10.0.0.9:9", ("10.0.0.9", 9)), ("cache-3:3", ("cache-3", 3)), ("::1:7", ("::1", 7))],
)
def test_the_node_that_is_said_to_be_the_owner_is_asked_first(owner: SlotOwner, to: str, first: Address) -> None:
    """Also if nothing was known of it; and the former owner last."""
    owner.nodes_to_ask()

    assert owner.has_moved(moved(to), A)
    assert owner.address is None
    asked = [*owner.nodes_to_ask(), *owner.nodes_to_ask()]
    assert (asked[0], asked[3]) == (first, A)


def test_the_owner_of_another_slot_says_nothing_of_ours(owner: SlotOwner) -> None:
    """A key without the queue's tag is used on its client: the call fails, and the connections stay."""
    assert not owner.has_moved(ResponseError(f"MOVED {SLOT + 1} 10.0.0.3:3"), A)
    assert owner.address == A


def test_a_new_owner_without_a_host_is_where_the_former_one_is(owner: SlotOwner) -> None:
    """As in the reply to CLUSTER SLOTS; one without a name is not asked."""
    assert owner.has_moved(moved(":7001"), A)
    assert owner.nodes_to_ask()[0] == (A[0], 7001)

    owner.learn(reply(A), A)
    assert owner.has_moved(moved("?:7001"), A)
    assert ("?", 7001) not in owner.nodes_to_ask()


LOST = [
    RedisConnectionError("gone"),
    RedisTimeoutError("slow"),
    BusyLoadingError("Redis is loading the dataset in memory"),
    PrimaryDemoted(DEMOTED),
    ResponseError("CLUSTERDOWN The cluster is down"),
]


@pytest.mark.parametrize("error", LOST, ids=repr)
def test_an_owner_that_does_not_serve_is_asked_for_again(owner: SlotOwner, error: RedisError) -> None:
    """Another node may have taken over; the former owner is asked last."""
    assert not owner.has_moved(error, A)
    assert owner.address is None
    assert owner.nodes_to_ask()[-1] == A


SERVES = [
    ResponseError("WRONGTYPE Operation against a key"),
    NoPermissionError("no"),
    AuthenticationError("who?"),
    NotConnected(MAX_CLIENTS),
    ResponseError("OOM command not allowed"),
]


@pytest.mark.parametrize("error", SERVES, ids=repr)
def test_an_owner_that_refuses_a_command_or_a_client_stays_the_owner(owner: SlotOwner, error: RedisError) -> None:
    """Idle connections to it stay in use, at its limit of clients too."""
    assert not owner.has_moved(error, A)
    assert owner.address == A


@pytest.mark.parametrize("error", [*LOST, moved("10.0.0.9:9")], ids=repr)
def test_the_end_of_connections_to_a_former_owner_says_nothing_of_the_new_one(
    owner: SlotOwner, error: RedisError
) -> None:
    """Each of them ends in its own time."""
    owner.has_moved(moved("10.0.0.2:2"), A)
    owner.learn(reply(B, A), B)

    owner.has_moved(error, A)

    assert owner.address == B


def test_what_a_search_fails_with_is_the_refusal_that_lasts() -> None:
    """A wrong password fails at once, also if other nodes are away, and so does a server that is in no cluster."""
    owner, away, refused = SlotOwner(TAG, [A]), RedisConnectionError("gone"), AuthenticationError("WRONGPASS")
    stranger = ResponseError("ERR This instance has cluster support disabled")

    assert owner.not_found([refused, away]) is refused
    assert owner.not_found([away, stranger]) is stranger
    for passing in ([away], [ResponseError("BUSY Redis is busy")], [BusyLoadingError("loading")]):
        assert isinstance(owner.not_found(passing), NotConnected)
    assert str(owner.not_found([])) == f"slot {SLOT}, which holds the queue, has no owner"

"""What errors of Redis mean, and what to do, as a table of rules.

redis-py puts many causes under one class, and takes the code off some of the server's replies. So the rules look for
Python's own errors in the chain of causes first, then for the server's words in the texts, then for redis-py's classes.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass

from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.contract.layout import REFUSAL
from producers.transport.connections import NoFreeConnection, SlotMoved
from producers.transport.dsn_parser import CLUSTER_EXAMPLE
from producers.transport.redis_errors import FULL

DSN = "COPYTRADE_REDIS_DSN"
FULL_PERCENT = "COPYTRADE_REDIS_FULL_PERCENT"
"""The setting that submit.lua names when it refuses changes before Redis is full."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is wrong, and what to do.

    Attributes:
        problem: a clause such as "Redis rejected the user or password".
        remedy: what to do; "" if nothing is known.
        permanent: whether it stays until somebody corrects the DSN or the server's configuration.
        cluster_remedy: what to do instead if a node of a cluster gave the error; "" if that is the same.
    """

    problem: str
    remedy: str = ""
    permanent: bool = False
    cluster_remedy: str = ""


CLUSTER = Explanation(
    "this Redis is in cluster mode",
    f"name its nodes in {DSN}: {CLUSTER_EXAMPLE}",
    permanent=True,
    cluster_remedy="use a client of your own for keys that do not begin with the queue's tag",
)
NO_CLUSTER = Explanation(
    "this Redis is not in cluster mode", f"begin {DSN} with redis:// or rediss://, and name one host", permanent=True
)
_UNOWNED = Explanation(
    "no node of the cluster owns the queue's slot",
    "start the node that owned it, or its replica; the reply to CLUSTER INFO has the state of the cluster",
)
ACL_REFUSAL = re.compile("ACL failure|The user executing the script can't")
"""How Redis words it when a script may not run a command or use a key; the second part is of Redis 6.2 and 7.0."""

_KEY_REFUSAL = re.compile("access (a|one of the|at least one of the) (key|channel)")
_ELECTION = "an election may be under way: wait some seconds; else"

_ACL = Explanation("Redis's ACL does not let this user do that", "ops/redis.acl shows what is needed")
_ACL_KEYS = Explanation(_ACL.problem, f"{_ACL.remedy}; a queue with another tag needs other patterns: ops/ACL.md")
_FREE_MEMORY = "wait until results have expired, raise maxmemory, lower COPYTRADE_RESULT_TTL_S, or drop dead letters"
_NOT_REDIS = Explanation("what answers at this address is not Redis", f"correct host and port in {DSN}", permanent=True)
_TIMEOUT = Explanation(
    "Redis did not answer in time",
    "look at the server's load and the network; a port with TLS needs rediss://, one without needs redis://",
    cluster_remedy=f"{_ELECTION} look at the node's load and the network; ports with TLS need ?tls=true in {DSN}, and"
    " ports without must not have it",
)
_UNTRUSTED = Explanation(
    "the server's TLS certificate is not trusted",
    f"give its authority as ssl_ca_certs in {DSN}, and the host name that it was issued for",
    permanent=True,
)


RULES: tuple[tuple[type[BaseException] | re.Pattern[str] | frozenset[str], Explanation], ...] = (
    (
        NoFreeConnection,
        Explanation("no connection to Redis was free", "raise COPYTRADE_REDIS_CONNECTIONS, or call less at once"),
    ),
    (
        re.compile(r"^(Too many connections|No connection available\.)$"),  # the texts of redis-py's own pools
        Explanation(
            "the Redis client that this producer was given has no free connection",
            "raise its max_connections, or use Producer.connect(dsn)",
        ),
    ),
    (SlotMoved, Explanation("the queue's slot has another owner in the cluster", "wait until this program finds it")),
    (re.compile(r"^slot \d+, which holds the queue, has no owner$|Hash slot not served"), _UNOWNED),
    (ssl.SSLCertVerificationError, _UNTRUSTED),
    (ssl.SSLError, Explanation("TLS failed", f"check the ssl_ options of {DSN}, and that the port speaks TLS")),
    (
        socket.gaierror,
        Explanation("Redis did not answer: the host name does not resolve", f"correct the host in {DSN}, or the DNS"),
    ),
    (
        ConnectionRefusedError,
        Explanation(
            "Redis did not answer: nothing listens there",
            f"start it, or correct host and port in {DSN}",
            cluster_remedy=f"{_ELECTION} start the node, or correct hosts and ports in {DSN}",
        ),
    ),
    (
        FileNotFoundError,
        Explanation("Redis did not answer: there is no such socket", f"start it, or correct the path in {DSN}"),
    ),
    (PermissionError, Explanation("this user may not open Redis's socket", "grant read and write access to it")),
    (
        re.compile("Authentication required"),
        Explanation("Redis requires a password, and got none", f"add it to {DSN}", permanent=True),
    ),
    (
        re.compile("without any password configured|no password is set"),
        Explanation("Redis got a password, and has none", f"take it out of {DSN}", permanent=True),
    ),
    (
        re.compile("No (master|replica) found.*AuthenticationError", re.DOTALL),
        Explanation("the sentinels rejected the user or password", f"correct them in {DSN}", permanent=True),
    ),
    (
        re.compile("No (master|replica) found"),
        Explanation("no sentinel knows the primary", f"correct its name and the sentinels in {DSN}, or start them"),
    ),
    (
        re.compile("DB index is out of range|[Ii]nvalid (Database|DB index)"),
        Explanation("Redis has no database of this number", f"correct the number in {DSN}", permanent=True),
    ),
    (
        re.compile("max number of clients reached"),
        Explanation("Redis has as many connections as it accepts", "close some, or raise maxclients at the server"),
    ),
    (
        frozenset({"DENIED"}),
        Explanation(
            "Redis is in protected mode: it serves only its own machine",
            f"set a password at the server, and add it to {DSN}",
            permanent=True,
        ),
    ),
    (re.compile("cluster support disabled"), NO_CLUSTER),
    (re.compile("do not hash to the same slot|non local key"), CLUSTER),  # what a script is told
    (frozenset({"MOVED", "CROSSSLOT"}), CLUSTER),
    (
        frozenset({"CLUSTERDOWN"}),
        Explanation(
            "the cluster is down: most of its primaries are away, or a slot has no owner",
            f"{_ELECTION} start its nodes; the reply to CLUSTER INFO has its state",
        ),
    ),
    (
        frozenset({"ASK", "TRYAGAIN"}),
        Explanation(
            "the queue's slot is being moved to another node, key by key",
            "wait until all of it has moved; if the move was cut off, finish it: ops/runbook/move-the-slot.md",
        ),
    ),
    (_KEY_REFUSAL, _ACL_KEYS),
    (ACL_REFUSAL, _ACL),
    (frozenset({"MISCONF"}), Explanation("Redis cannot save its data", "look for a full or broken disk at the server")),
    (
        frozenset({"NOREPLICAS"}),
        Explanation("Redis has too few replicas to accept writes", "start or reconnect replicas"),
    ),
    (
        frozenset({"MASTERDOWN"}),
        Explanation("this server is a replica without its primary", f"point {DSN} to the primary"),
    ),
    (frozenset({"BUSY", "UNKILLABLE"}), Explanation("Redis is busy with a script", "wait until it has ended")),
    (frozenset({"LOADING"}), Explanation("Redis is loading its data", "wait until it has ended")),
    (
        frozenset({"READONLY"}),
        Explanation("this server is a replica, which accepts no writes", f"point {DSN} to the primary"),
    ),
    (
        re.compile(rf"{REFUSAL} the queue has layout \d+/\d+"),  # with its number of shards, see `shards_mark`
        Explanation(
            "the queue has another number of shards",
            "give this program the COPYTRADE_SHARDS of the others: the number after the slash",
            permanent=True,
        ),
    ),
    (
        frozenset({REFUSAL}),
        Explanation(
            "the queue was written by another version of this project",
            "stop all programs that use it, then run: copytrade migrate",
            permanent=True,
        ),
    ),
    (re.compile(FULL_PERCENT), Explanation("Redis is almost full", _FREE_MEMORY)),
    (frozenset({FULL}), Explanation("Redis is full", _FREE_MEMORY)),
    (frozenset({"WRONGTYPE"}), Explanation("a key is of a wrong type", "delete the key; the workers' logs name it")),
    (
        re.compile("Connection (closed by server|reset)", re.IGNORECASE),
        Explanation(
            "Redis did not answer: it closed the connection",
            f"look at its log; if its port speaks TLS, begin {DSN} with rediss://",
            cluster_remedy=f"{_ELECTION} look at its log; if its port speaks TLS, add ?tls=true to {DSN}",
        ),
    ),
    (AuthenticationError, Explanation("Redis rejected the user or password", f"correct {DSN}", permanent=True)),
    (NoPermissionError, _ACL),
    (InvalidResponse, _NOT_REDIS),
    (ResponseError, Explanation("Redis refused the command")),
    (RedisTimeoutError, _TIMEOUT),
    (TimeoutError, _TIMEOUT),
)

UNKNOWN = Explanation(
    "Redis did not answer", f"start it, or correct {DSN}", cluster_remedy=f"{_ELECTION} start it, or correct {DSN}"
)
"""What an error means that no rule names."""

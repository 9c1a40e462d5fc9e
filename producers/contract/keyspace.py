"""Every Redis key and channel, with its type, its life and who writes it. No key is spelled anywhere else.

A lane's name is `<user>:<trader>`, each part with `%` and `:` escaped, so that no ID can forge another's key and a
script finds the user as everything before the first `:`.
"""

from __future__ import annotations

SCHEDULE = "copytrade:schedule"
"""ZSET lane -> earliest time it may be claimed (ms, Redis clock; .5 marks a promised turn): lanes that hold an
interactive change. Submit, claim, settle, cancel, wake."""

BULK_SCHEDULE = "copytrade:schedule:bulk"
"""ZSET as SCHEDULE: lanes that hold only bulk changes. A lane that is not empty is on one of the two."""

LANES = "copytrade:lanes"
"""ZSET of the lanes that are not empty, all of score 0, so that a user's are found by name. Submit, settle, cancel."""

BELL = "copytrade:bell"
"""LIST of at most one wake-up for an idle worker. Pushed by submit and claim, popped by workers."""

LANE = "copytrade:lane:"
"""LIST of job IDs, head first; `copytrade:lane:<lane>`. Pushed by submit, popped by settle. No TTL."""

HEAD = "copytrade:head:"
"""HASH of a lane; `copytrade:head:<lane>`. Submit, claim, settle, cancel. No TTL, gone when the lane is empty.
Of its head while it is claimed or backing off: `token`, `lapses`, `state`, `earliest` and `lease` (ms, ends of its
back-off and lease), `held` (how many are in flight as one).
Marks, each a job ID: `joins` (the last that may join others), `solo` (the last that must be sent alone).
`urgent`: how many interactive changes it holds, if it holds bulk ones too."""

BUCKET = "copytrade:bucket:"
"""HASH, the leaky bucket of one user and endpoint; `copytrade:bucket:<user>:settings`. Claim, settle, submit.
Fields: `n` slots taken so far; `0`..`9` for each of the last ten when its window ends (us), or, negative, the slot of
a request still under way; `tat` earliest next slot (us); `turn` earliest claim not yet promised to a lane (us);
`pace` us a request, `turn pace` between two turns; `ring`, `window` (us) what the entries were counted by; `hold`
nothing is sent before (us); `slow`, `slowed at`, `faster at`, `slow wait`, `raised`: of a user that was throttled (see
settle.lua). Expires a minute after it stopped mattering."""

ENDPOINT = ":settings"
"""What follows the user in a bucket's key: limits are counted per endpoint."""

EGRESS = "copytrade:egress:"
"""HASH, the bucket of one egress IP, `copytrade:egress:<name>`. All of the worker's scripts. Fields: `tat`, `hold`;
`pace`, `user pace` (us a request, as its workers are set); `since bulk` interactive claims since a bulk one;
`floor`, `samples`, `since`, `floor before`, `samples before`: the shortest round trip (us); `open`, `why`, `probe at`,
`fresh at`, `probe`: the breaker (see breaker.lua), absent while it is closed. TTL 11 min, or longer with
a hold."""

EGRESSES = "copytrade:egresses"
"""SET of the names of egresses that were used. Claim. No TTL."""

PAUSED = "copytrade:paused"
"""HASH of what is paused -> since when (ms): `everything`, `egress:<name>`, `user:<user>`, `trader:<trader>`.
Producers; looked at by claim. No TTL."""

RATES = "copytrade:rates"
"""HASH user -> requests a second, for users with a rate of their own. Producers; looked at by claim. No TTL."""

TROUBLES = "copytrade:troubles:"
"""HASH, per egress: the run of troubles with no good reply between. Settle; TTL 1 min. Fields: `<trouble> <user>`,
`n <trouble>` (users), `failures`. A trouble is `throttled` (of users alone in their window), `failing` or
`refused <code>`."""

REFUSED = "copytrade:refused"
"""HASH of users whose keys were refused -> `<fingerprint of the keys> <code> <since (ms)>`: while they have the same
keys, their changes end unsent. Settle; removed by settle and by producers that resume the user. No TTL."""

COUNTS = "copytrade:counts"
"""HASH outcome -> number of changes that ended so. Settle. No TTL."""

JOB = "arq:job:"
"""STRING, arq's job format in msgpack; `arq:job:<job>`. Submit; deleted by settle. No TTL."""

RESULT = "arq:result:"
"""STRING, arq's result format in msgpack; `arq:result:<job>`. Settle; TTL is the result's life."""

DONE = "copytrade:done:"
"""CHANNEL told when a change has ended; `copytrade:done:<job>`. Settle, cancel."""

BATCH = "copytrade:batch:"
"""HASH, a batch's counters; `copytrade:batch:<id>`. Submit, claim, settle, seal, cancel. Fields: `total`, `ended`,
`in flight`, `o:<outcome>`; `created`, `started`, `sealed`, `cancelled`, `complete` (ms); `end` (last entry of the
stream); `priority`; `content`, `c<n>` (digests of all, and of a chunk); `short` (how many found their lane full);
`deepest`, `deepest lane`. TTL is the results' life once all of it ended."""

MEMBERS = "copytrade:members:"
"""SET of what follows `<batch>//` in its changes' IDs; `copytrade:members:<id>`. Submit. Life as BATCH."""

RESULTS = "copytrade:results:"
"""STREAM, `copytrade:results:<id>`: `job` and `outcome` of each change that ended, then `end`. Life as BATCH."""

COMPLETE = "copytrade:complete:"
"""CHANNEL told once when a batch is complete; `copytrade:complete:<id>`."""

BATCHES = "copytrade:batches"
"""ZSET batch -> created (ms). Submit, seal; cleaned of expired ones when listed."""

LETTER = "copytrade:letter:"
"""STRING, a dead letter: the payload of a change that ended badly; `copytrade:letter:<job>`. Settle; has a TTL."""

DEAD = "copytrade:dead:"
"""ZSET `<lane> <job>` -> when it ended (us); `copytrade:dead:<outcome>`. Settle, which cleans it of expired ones."""

CREDENTIALS = "copytrade:credentials"
"""HASH user -> sealed record of the user's API keys (worker/credentials/sealing.py). `copytrade credentials`; read
by workers, and no business of producers. No TTL."""

CONTROL_QUEUE = "arq:queue"
"""ZSET, arq's own queue: cron, control jobs, and `submit` from apps that have only arq."""

WORKER = "copytrade:worker:"
"""STRING, a worker process's announcement of itself in msgpack; `copytrade:worker:<egress>:<name>`. TTL is three of its
intervals."""

WORKERS = "copytrade:workers"
"""ZSET `<egress>:<name>` -> when the announcement ends (ms). Workers; TTL 3 min."""


def lane(user_id: str, trader_id: str) -> str:
    """The name of the lane of a user and a trader."""
    return f"{escape(user_id)}:{escape(trader_id)}"


def escape(part: str) -> str:
    """An ID as part of a key: `%` and `:` are escaped, the rest stays readable."""
    if "%" in part or ":" in part:
        return part.replace("%", "%25").replace(":", "%3A")
    return part


BATCH_MARK = "//"
"""Parts the batch from the rest in the ID of a batch's change. No other change's ID may hold it."""


REPLAY_MARK = "~~"
"""Stands before the number of times that a change was sent, in the ID of a replayed one. No other ID may hold it."""


def batch_of(job_id: str) -> str | None:
    """The batch that a change is of, by its ID."""
    batch_id, mark, _ = job_id.partition(BATCH_MARK)
    return batch_id if mark else None


def lanes_of(user_id: str) -> tuple[str, str]:
    """The range in which the names of a user's lanes lie, for ZRANGEBYLEX."""
    user = escape(user_id)
    return f"[{user}:", f"({user};"  # the character after ":"


def unescape(part: str) -> str:
    """The ID of which this is a part of a key."""
    return part.replace("%3A", ":").replace("%25", "%")


def parties(lane_name: str) -> tuple[str, str]:
    """The user and the trader of a lane."""
    user, _, trader = lane_name.partition(":")
    return unescape(user), unescape(trader)


def bucket(lane_name: str) -> str:
    """The key of the bucket that a lane's requests are counted in."""
    return f"{BUCKET}{lane_name.partition(':')[0]}{ENDPOINT}"

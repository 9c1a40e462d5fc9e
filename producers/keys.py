"""Every Redis key and channel, with its type, its life and who writes it. No key is spelled anywhere else.

A lane's name is `<user>:<trader>`, each part with `%` and `:` escaped, so that no ID can forge another's key and a
script finds the user as everything before the first `:`.
"""

from __future__ import annotations

SCHEDULE = "copytrade:schedule"
"""ZSET lane -> earliest time it may be claimed (ms, Redis clock; .5 marks a promised turn). Submit, claim, settle."""

BELL = "copytrade:bell"
"""LIST of at most one wake-up for an idle worker. Pushed by submit and claim, popped by workers."""

LANE = "copytrade:lane:"
"""LIST of job IDs, head first; `copytrade:lane:<lane>`. Pushed by submit, popped by settle. No TTL."""

HEAD = "copytrade:head:"
"""HASH token, lapses, state of the lane's head while it is claimed or backing off. Claim, settle. No TTL."""

BUCKET = "copytrade:bucket:"
"""HASH, the leaky bucket of one user and endpoint; `copytrade:bucket:<user>:settings`. Claim, settle, submit.
Fields: `n` slots taken so far; `0`..`9` for each of the last ten when its window ends (us), or, negative, the slot of
a request still under way; `tat` earliest next slot (us); `turn` earliest claim not yet promised to a lane (us);
`pace` us a request; `hold` nothing is sent before (us). Expires a minute after it stopped mattering."""

ENDPOINT = ":settings"
"""What follows the user in a bucket's key: limits are counted per endpoint."""

EGRESS = "copytrade:egress:"
"""HASH, the bucket of one egress IP, `copytrade:egress:<name>`. All of the worker's scripts. Fields: `tat`, `hold`;
`floor`, `samples`, `since`, `floor before`, `samples before`: the shortest round trip (us). TTL 11 min, or longer with
a hold."""

THROTTLED = "copytrade:throttled:"
"""SET, per egress: users throttled though alone, no other reply between; many mean the egress. Settle. TTL 1 min."""

COUNTS = "copytrade:counts"
"""HASH outcome -> number of changes that ended so. Settle. No TTL."""

JOB = "arq:job:"
"""STRING, arq's job format in msgpack; `arq:job:<job>`. Submit; deleted by settle. No TTL."""

RESULT = "arq:result:"
"""STRING, arq's result format in msgpack; `arq:result:<job>`. Settle; TTL is the result's life."""

DONE = "copytrade:done:"
"""CHANNEL told when a change has ended; `copytrade:done:<job>`. Published by settle."""

CONTROL_QUEUE = "arq:queue"
"""ZSET, arq's own queue: cron, control jobs, and `submit` from apps that have only arq."""


def lane(user_id: str, trader_id: str) -> str:
    """The name of the lane of a user and a trader."""
    return f"{escape(user_id)}:{escape(trader_id)}"


def escape(part: str) -> str:
    """An ID as part of a key: `%` and `:` are escaped, the rest stays readable."""
    if "%" in part or ":" in part:
        return part.replace("%", "%25").replace(":", "%3A")
    return part


def bucket(lane_name: str) -> str:
    """The key of the bucket that a lane's requests are counted in."""
    return f"{BUCKET}{lane_name.partition(':')[0]}{ENDPOINT}"

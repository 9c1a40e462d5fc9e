"""Every Redis key and channel: its type, content, writers and TTL. Other modules take them from a `Keyspace`.

A name that ends with `:` is a prefix; the `<...>` of its docstring follows it. A lane is named `<user>:<trader>`, with
`%` and `:` escaped in each part, so that no ID can form another's key, and scripts find the user before the first `:`.
"Scripts" are those of producers/queue and worker/queue.
"""

from __future__ import annotations

from typing import Final

from producers.contract.key_names import ArqName, Name
from producers.contract.layout import LAYOUT

CONTROL_QUEUE: Final = "copytrade:queue"
"""ZSET: the default of COPYTRADE_QUEUE, the worker's arq queue for cron, control jobs, and `submit` from apps that have
only arq. Not arq's default name, so that other arq apps in the same database neither take our jobs nor lose theirs. Its
health key has `:health-check` at the end. arq; no TTL."""

BUCKET_SUFFIX: Final = ":settings"
"""The endpoint, at the end of a bucket's key: the exchange limits each endpoint by itself."""


class Keyspace:
    """The names of all keys of one queue.

    Attributes:
        tag: what all names begin with, such as "{copytrade}": Redis Cluster then keeps them in one slot; "" for the
            names of a single Redis.
        mark: what `layout` must say; of the home of a queue with shards, their number too.
    """

    def __init__(self, tag: str = "", mark: str = LAYOUT) -> None:
        """Create the names."""
        self.tag = tag
        self.mark = mark

    layout = Name("layout")
    """STRING: the version of what these keys hold (`layout.LAYOUT`). Submit, seal, renew, migrate; no TTL."""

    shards = Name("shards")
    """STRING: in each shard of a queue, how many there are. The first program that uses it; no TTL."""

    schedule = Name("users:interactive")
    """ZSET: user -> earliest time at which an interactive change of it may be claimed (ms, Redis clock). A user that is
    pinned to an egress is in `<name>:<egress>` instead. Scripts that move lanes, wake, pin; no TTL."""

    bulk_schedule = Name("users:bulk")
    """ZSET: as `schedule`, for lanes that hold bulk changes only."""

    lanes = Name("lanes:")
    """ZSET `<user>`: the trader of each of the user's lanes with an interactive change -> not claimed before (ms), or
    the mark of a lane that is in flight or parked (lane.lua). As `schedule`."""

    bulk_lanes = Name("bulk:")
    """ZSET `<user>`: as `lanes`, for lanes that hold bulk changes only. A lane that is not empty is in one of both."""

    heads = Name("heads:")
    """HASH `<user>`: trader -> `<changes> <interactive changes> <coalescable changes> <1 if it has attempts> <entry>`,
    the lane's counts and its head. An entry is `<flags> <job>` (lane.lua). Submit, claim, settle, renew,
    cancel; no TTL."""

    rest = Name("rest:")
    """LIST `<lane>`: the entries behind the head, if there are any. Pushed by submit; removed by settle, cancel."""

    attempts = Name("attempts:")
    """HASH `<lane>`: what is known of a head that was claimed with others or attempted, and has not finished: `history`
    (its requests, in msgpack), `lost_deliveries` (workers that died with it), `alone_until` (the last job that is sent
    alone), `sent_until` (the last job that was claimed with it), `is_torn` (1 if one of those was cancelled since),
    `waits_for` (what it was put back for). Claim, settle, renew, cancel; no TTL, deleted with the head."""

    pins = Name("pins")
    """HASH: user -> the only egress that its requests leave from. Pin; no TTL."""

    pinned = Name("pinned")
    """HASH: egress -> how many users are pinned to it. Pin; no TTL."""

    sessions = Name("sessions")
    """HASH: session -> `<served clock> <renewed (ms)> <TTL (ms)> <lateness (ms)> <refused claims> <1 if dead>`, and
    `clock` -> `<served clock (ms)> <last renewal (ms)>` (session.lua). Renew; no TTL."""

    held = Name("held:")
    """HASH `<session>`: lane -> `<token> <slot (us)> <slot number>` of what the session has in flight. Claim, settle,
    renew; no TTL."""

    taken = Name("taken:")
    """HASH `<session>`: lane -> token, of what was taken back from a dead session. Renew, settle; TTL 1 hour."""

    parked = Name("parked:")
    """SET `<trader>`: users whose lane of a paused trader was found due. Claim, cancel, resume; no TTL."""

    resuming = Name("resuming")
    """SET: traders that were resumed and whose parked lanes have not all been moved. Resume; no TTL."""

    wakeups = Name("wakeups")
    """LIST: at most one wake-up for a worker. Pushed by scripts and workers; popped by workers; no TTL."""

    egress_wakeups = Name("wakeups:")
    """LIST `<egress>`: at most one wake-up for a worker of the egress: its pause or breaker has changed, or a user that
    is pinned to it has come due. Pushed by producers, scripts and workers; popped by workers; TTL 1 minute."""

    never = Name("never")
    """Never exists. Scripts that a full Redis must permit delete it first (`Script.load`), transactions then too."""

    almost_full = Name("full")
    """STRING "1": memory was above the share from which on changes are refused. Submit; TTL 1 minute."""

    bucket = Name("slots:")
    """STRING `<user>:settings`: the leaky bucket of a user and endpoint, one list in msgpack (bucket.lua). All scripts
    but seal and progress; TTL one minute after its last effect."""

    egress = Name("egress:")
    """HASH `<name>`: the bucket and breaker of an egress IP. Claim, settle, renew, egress_slot; TTL 11 minutes, more
    while throttled. Fields: `tat`, `pace`, `user_pace` (us), `since_bulk` (interactive claims since a bulk one), see
    egress.lua; `min_rtt`, `rtt_count`, `rtt_total`, `rtt_since` and `previous_...` (us), see round_trips.lua;
    `openings`, `pause`, `reason`, `probe_at`, `probe_unaffected_at`, `probe` while the breaker is open, see
    breaker.lua."""

    egress_shares = Name("shares:")
    """HASH `<egress>`: in the home of a queue with shards, the share of the egress's rate that each shard has, see
    shares.lua. Workers; TTL 1 hour."""

    egresses = Name("egresses")
    """SET: the names of the egresses that were used. Claim; settle removes those that have expired; no TTL."""

    paused = Name("paused")
    """HASH: `everything`, `egress:<name>`, `user:<user>` or `trader:<trader>` -> paused since (ms). Pause, resume; no
    TTL."""

    rates = Name("rates")
    """HASH: user -> requests per second, for users with their own rate. Producers; no TTL."""

    failures = Name("failures:")
    """HASH `<egress>`: the failures since the last good reply. Settle; TTL 1 minute, more while the breaker is open.
    Fields: `<kind> <user>` (1, or 0 for a user that does not count), `users <kind>`, `failures`. A kind is `throttled`
    (those users count that were alone in their window), `failing` or `refused <code>`."""

    rejected_keys = Name("rejected_keys")
    """HASH: users whose API keys were rejected -> `<key fingerprint> <code> <since (ms)>`. While they have the same
    keys, their changes end unsent. Written by settle, removed by settle and by resuming the user; no TTL."""

    old_schedule = Name("schedule")
    old_bulk_schedule = Name("schedule:bulk")
    old_lanes = Name("lanes")
    old_lane = Name("lane:")
    old_head = Name("head:")
    old_bucket = Name("bucket:")
    old_wakeups = Name("bell")
    old_rejected_keys = Name("refused")
    """What layout 1 had: see migrate.lua, which moves it."""

    counts = Name("counts")
    """HASH: outcome -> number of changes that ended with it. Settle, cancel; no TTL."""

    job = ArqName("job:")
    """STRING `<job>`: a stored change, arq's job format in msgpack. Submit, deleted by settle and cancel; no TTL."""

    result = ArqName("result:")
    """STRING `<job>`: its result, arq's result format in msgpack. Settle, cancel; TTL is the result TTL."""

    job_done = Name("done:")
    """CHANNEL `<job>`: a message when the change, or the control job, has ended. Settle, cancel, workers."""

    batch = Name("batch:")
    """HASH `<batch>`: its counters. Submit, claim, settle, renew, seal, cancel; has the result TTL once it is complete.
    Fields: `total`, `finished`, `in_flight`, `outcome_<outcome>`; `created_at`, `started_at`, `sealed_at`,
    `cancelled_at`, `completed_at` (ms); `end_entry` (last entry of its stream); `priority`; `content`, `c<n>`
    (digests of all, and of a chunk); `template` (the change that its users share, in msgpack), `runs` (when it was
    enqueued, `<ms>,<TTL (ms)>` for each run); `lane_full_count` (of changes); `deepest`, `deepest_lane`;
    `put_back_until` (ms), `put_back_job`, `put_back_lane` (of the latest retry); `retried_as`; `traceparent`."""

    batch_members = Name("members:")
    """SET `<batch>`: the part of its job IDs after `<batch>..`. Submit; TTL as `batch`."""

    batch_results = Name("results:")
    """STREAM `<batch>`: `job` and `outcome` of each ended change, then `end`. Settle, cancel, seal; TTL as `batch`."""

    batch_complete = Name("complete:")
    """CHANNEL `<batch>`: one message when it is complete. Settle, cancel, seal."""

    batches = Name("batches")
    """ZSET: batch -> created (ms). Submit, seal; expired ones are removed by submit and by listing; no TTL."""

    dead_letter = Name("letter:")
    """STRING `<job>`: the payload of a dead change. Settle, deleted by replay and drop; TTL is the dead letter TTL."""

    dead_letters = Name("dead:")
    """ZSET `<outcome>`: `<lane> <job>` -> ended (us). Settle, which also removes expired ones; replay, drop; no TTL."""

    credentials = Name("credentials")
    """HASH: user -> sealed API keys (worker/credentials/sealing.py). Written by `copytrade credentials`, read by
    workers; no TTL."""

    gateway_keys = Name("gateway_keys")
    """HASH: key ID -> an access key of the gateway, with the hash of its secret (`access_keys.AccessKey`, JSON).
    `copytrade gateway-keys`; no TTL."""

    gateway_rate = Name("gateway_rate:")
    """STRING `<key ID>`: the earliest next call of an access key with a rate (us). Gateway; TTL until then."""

    gateway_session = Name("gateway_session:")
    """STRING `<SHA-256 of its token>`: the ID of the access key with which a browser signed in. Gateway; TTL 12 h."""

    queue = Name("queue")
    """ZSET: where the names have a tag, never written; its health key has `:health-check` at the end. Workers; TTL as
    arq's. Where they have none, see `CONTROL_QUEUE`."""

    cron_runs = Name("runs:")
    """STRING `<cron job>:<time (ms)>`: the worker process that runs it, where the names have a tag. Workers; TTL 1
    hour."""

    worker = Name("worker:")
    """STRING `<egress>:<session>:<name>`: a worker process's description, in msgpack. Workers; TTL three intervals."""

    workers = Name("workers")
    """ZSET: `<egress>:<session>:<name>` -> when its description expires (ms). Workers; TTL 3 minutes."""

    def bucket_of(self, lane_or_user: str) -> str:
        """Return the key of the bucket that counts the requests of a lane, or of an escaped user."""
        return f"{self.bucket}{lane_or_user.partition(':')[0]}{BUCKET_SUFFIX}"


def lane(user_id: str, trader_id: str) -> str:
    """Return the name of the lane of a user and a trader."""
    return f"{escape(user_id)}:{escape(trader_id)}"


def user_and_trader(lane_name: str) -> tuple[str, str]:
    """Return the user and the trader of a lane."""
    user, _, trader = lane_name.partition(":")
    return unescape(user), unescape(trader)


def escape(part: str) -> str:
    """Return an ID as a part of a key, with `%` and `:` escaped."""
    if "%" in part or ":" in part:
        return part.replace("%", "%25").replace(":", "%3A")
    return part


def unescape(part: str) -> str:
    """Return the ID of a part of a key."""
    return part.replace("%3A", ":").replace("%25", "%")

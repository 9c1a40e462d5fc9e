"""Every Redis key and channel: its type, content, writers and TTL. Other modules take them from a `Keyspace`.

A name that ends with `:` is a prefix; the `<...>` of its docstring follows it. A lane is named `<user>:<trader>`, with
`%` and `:` escaped in each part, so that no ID can form another's key, and scripts find the user before the first `:`.
"Scripts" are those of producers/queue and worker/queue: submit, cancel, seal, wake, claim, settle, renew.
"""

from __future__ import annotations

from typing import Final

CONTROL_QUEUE: Final = "copytrade:queue"
"""ZSET: the default of COPYTRADE_QUEUE, the worker's arq queue for cron, control jobs, and `submit` from apps that have
only arq. Not arq's default name, so that other arq apps in the same database neither take our jobs nor lose theirs. Its
health key has `:health-check` at the end. arq; no TTL."""

BUCKET_SUFFIX: Final = ":settings"
"""The endpoint, at the end of a bucket's key: the exchange limits each endpoint by itself."""

BATCH_MARK = ".."
"""Separates the batch from the rest in a job ID of a batch. New batch IDs and other new job IDs may not contain it."""

OLD_BATCH_MARK = "//"
"""The same in job IDs of earlier versions, which are still read. New ones have no slash: URL paths can carry them."""

REPLAY_MARK = "~~"
"""Separates the original job ID from the time in the ID of a replayed change. Other job IDs may not contain it."""


class _Name:
    """An attribute of a keyspace: what its names begin with, and a suffix."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def __set_name__(self, _: type, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, keys: Keyspace, _: type) -> str:
        name = self._prefix(keys.tag) + self._suffix
        vars(keys)[self._attribute] = name  # found there from now on
        return name

    @staticmethod
    def _prefix(tag: str) -> str:
        return f"{tag}:" if tag else "copytrade:"


class _ArqName(_Name):
    """The same for the keys of arq's formats."""

    @staticmethod
    def _prefix(tag: str) -> str:
        return f"{tag}:arq:" if tag else "arq:"


class Keyspace:
    """The names of all keys of one queue.

    Attributes:
        tag: what all names begin with, such as "{copytrade}": Redis Cluster then keeps them in one slot; "" for the
            names of a single Redis.
    """

    def __init__(self, tag: str = "") -> None:
        """Create the names."""
        self.tag = tag

    schedule = _Name("schedule")
    """ZSET: lanes with an interactive change -> earliest claim (ms, Redis clock; .5 marks a reserved slot). All scripts
    but seal; no TTL."""

    bulk_schedule = _Name("schedule:bulk")
    """ZSET: as `schedule`, for lanes with bulk changes only. A lane that is not empty is in one of the two."""

    lanes = _Name("lanes")
    """ZSET: the lanes that are not empty, all with score 0, so that a user's lanes are a range of names. Submit, claim,
    settle, cancel; no TTL."""

    wakeups = _Name("bell")
    """LIST: at most one wake-up for a worker. Pushed by scripts, resume and workers; popped by workers; no TTL."""

    never = _Name("never")
    """Never exists. Scripts that a full Redis must permit delete it first (`Script.load`), transactions then too."""

    almost_full = _Name("full")
    """STRING "1": memory was above the share from which on changes are refused. Set and deleted by submit; TTL a
    minute."""

    lane = _Name("lane:")
    """LIST `<lane>`: job IDs, head first. Pushed by submit; removed by settle, cancel and claim; no TTL."""

    head = _Name("head:")
    """HASH `<lane>`: the state of the head while it is claimed or waits for a retry. Submit, claim, settle, renew,
    cancel; no TTL, deleted with the lane. Fields: `token`, `lease` (end, ms), `lapses` (lost deliveries), `state`
    (attempt history), `earliest` (not claimed before, ms), `held` (changes in flight as one); of the lane: `joins`
    (last job that may be coalesced), `solo` (last job that is sent alone), `urgent` (interactive changes, in a lane
    that has bulk ones too)."""

    bucket = _Name("bucket:")
    """HASH `<user>:settings`: the leaky bucket of a user and endpoint. All scripts but seal and renew; TTL one minute
    after its last effect. Fields, all times in us: `n` (slots taken); `0`..`9` (end of the window of each of the last
    ten requests, or minus the slot of one in flight); `tat` (earliest next slot); `turn` (reserved until); `pace`,
    `turn pace` (per request, per reservation); `ring`, `window` (what the entries were made for); `hold` (nothing is
    sent before); `good` (last good reply); `late <trader>` (until when a lane's request of unknown fate may be
    applied); `slow`, `slowed at`, `faster at`, `slow wait`, `raised` (slowdown of a throttled user, see settle.lua)."""

    egress = _Name("egress:")
    """HASH `<name>`: the bucket and breaker of an egress IP. Claim, settle, egress; TTL 11 minutes, more while
    throttled. Fields: `tat`, `pace`, `user pace` (us); `since bulk` (interactive claims since a bulk one); `floor`,
    `samples`, `total`, `since`, `floor before`, `samples before`, `total before` (round trips, us); `open`, `pause`,
    `why`, `probe at`, `fresh at`, `probe` (the breaker while it is open, see breaker.lua)."""

    egresses = _Name("egresses")
    """SET: the names of the egresses that were used. Claim; settle removes those that have expired; no TTL."""

    paused = _Name("paused")
    """HASH: `everything`, `egress:<name>`, `user:<user>` or `trader:<trader>` -> paused since (ms). Producers; no
    TTL."""

    rates = _Name("rates")
    """HASH: user -> requests per second, for users with their own rate. Producers; no TTL."""

    failures = _Name("troubles:")
    """HASH `<egress>`: the failures since the last good reply. Settle; TTL 1 minute, more while the breaker is open.
    Fields: `<kind> <user>` (1, or 0 for a user that does not count), `n <kind>` (users), `failures`. A kind is
    `throttled` (those users count that were alone in their window), `failing` or `refused <code>`."""

    rejected_keys = _Name("refused")
    """HASH: users whose API keys were rejected -> `<key fingerprint> <code> <since (ms)>`. While they have the same
    keys, their changes end unsent. Written by settle, removed by settle and by resuming the user; no TTL."""

    counts = _Name("counts")
    """HASH: outcome -> number of changes that ended with it. Settle, cancel; no TTL."""

    job = _ArqName("job:")
    """STRING `<job>`: a stored change, arq's job format in msgpack. Submit, deleted by settle and cancel; no TTL."""

    result = _ArqName("result:")
    """STRING `<job>`: its result, arq's result format in msgpack. Settle, cancel; TTL is the result TTL."""

    job_done = _Name("done:")
    """CHANNEL `<job>`: a message when the change has ended. Settle, cancel."""

    batch = _Name("batch:")
    """HASH `<batch>`: its counters. Submit, claim, settle, seal, cancel; has the result TTL once it is complete.
    Fields: `total`, `ended`, `in flight`, `o:<outcome>`; `created`, `started`, `sealed`, `cancelled`, `complete` (ms);
    `end` (last entry of its stream); `priority`; `content`, `c<n>` (digests of all, and of a chunk); `short` (changes
    whose lane was full); `deepest`, `deepest lane`."""

    batch_members = _Name("members:")
    """SET `<batch>`: the part of its job IDs after `<batch>..`. Submit; TTL as `batch`."""

    batch_results = _Name("results:")
    """STREAM `<batch>`: `job` and `outcome` of each ended change, then `end`. Settle, cancel, seal; TTL as BATCH."""

    batch_complete = _Name("complete:")
    """CHANNEL `<batch>`: one message when it is complete. Settle, cancel, seal."""

    batches = _Name("batches")
    """ZSET: batch -> created (ms). Submit, seal; expired ones are removed by submit and by listing; no TTL."""

    dead_letter = _Name("letter:")
    """STRING `<job>`: the payload of a dead change. Settle, deleted by replay and drop; TTL is the dead letter TTL."""

    dead_letters = _Name("dead:")
    """ZSET `<outcome>`: `<lane> <job>` -> ended (us). Settle, which also removes expired ones; replay, drop; no TTL."""

    credentials = _Name("credentials")
    """HASH: user -> sealed API keys (worker/credentials/sealing.py). Written by `copytrade credentials`, read by
    workers; no TTL."""

    worker = _Name("worker:")
    """STRING `<egress>:<name>`: a worker process's description of itself, in msgpack. Workers; TTL three of its
    intervals."""

    workers = _Name("workers")
    """ZSET: `<egress>:<name>` -> when its description expires (ms). Workers; TTL 3 minutes."""

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


def lane_range(user_id: str) -> tuple[str, str]:
    """Return the bounds of the names of a user's lanes, for ZRANGEBYLEX."""
    user = escape(user_id)
    return f"[{user}:", f"({user};"  # ";" is the character after ":"


def batch_id_of(job_id: str) -> str | None:
    """Return the batch that a job ID belongs to; None if it belongs to none."""
    for mark in (OLD_BATCH_MARK, BATCH_MARK):
        batch_id, found, _ = job_id.partition(mark)
        if found:
            return batch_id or None
    return None


def other_form(job_id: str) -> str | None:
    """Return the job ID of a batch with the other of the two marks; None if it belongs to none.

    A change has one of the two, but its batch and its user do not tell which: it may be of an earlier version.
    """
    for mark, other in ((OLD_BATCH_MARK, BATCH_MARK), (BATCH_MARK, OLD_BATCH_MARK)):
        batch_id, found, member = job_id.partition(mark)
        if found:
            return f"{batch_id}{other}{member}" if batch_id else None
    return None


def escape(part: str) -> str:
    """Return an ID as a part of a key, with `%` and `:` escaped."""
    if "%" in part or ":" in part:
        return part.replace("%", "%25").replace(":", "%3A")
    return part


def unescape(part: str) -> str:
    """Return the ID of a part of a key."""
    return part.replace("%3A", ":").replace("%25", "%")

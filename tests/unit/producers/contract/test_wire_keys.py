"""The page of the wire says what the code does: each key and channel, the times and limits."""

from __future__ import annotations

import re
from zlib import crc32

import msgspec

from ops.keys import KEYS
from producers.contract.attempt_history import MAX_ATTEMPTS
from producers.contract.ids import BATCH_MARK
from producers.contract.keyspace import CONTROL_QUEUE, Keyspace
from producers.contract.messages import CHANGE_SUFFIX
from producers.contract.shards import shard_keyspaces, shard_of, shards_mark
from producers.contract.validation import MAX_BATCH_ID_CHARS, MAX_ID_CHARS, MAX_SETTINGS
from producers.settings import MAX_TTL_S, ProducerSettings, variable_name
from tests.support.pages import ROOT, table
from worker.process import control_jobs, lane_worker
from worker.settings import WorkerSettings

PAGE = "producers/contract/WIRE.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
PUBLIC = {
    CONTROL_QUEUE: "ZSET",
    f"{KEYS.job}<ID>": "STRING",
    f"{KEYS.result}<ID>": "STRING",
    f"{KEYS.job_done}<ID>": "CHANNEL",
    f"{KEYS.batch}<batch>": "HASH",
    f"{KEYS.batch_results}<batch>": "STREAM",
    f"{KEYS.batch_complete}<batch>": "CHANNEL",
    KEYS.batches: "ZSET",
    KEYS.paused: "HASH",
    KEYS.counts: "HASH",
    KEYS.layout: "STRING",
}


def test_every_key_is_public_with_its_type_or_private() -> None:
    """No key is both, and no other name begins with a private one."""
    rows = table(PAGE, "| key | type | for others |")
    private = re.findall(r"copytrade:\S+", TEXT[TEXT.index("Private, with all") :].split("```")[1])
    keys = {getattr(KEYS, name) for name in vars(Keyspace) if not name.startswith("_") and name != "bucket_of"}
    public = {re.sub("<.*", "", row[0]) for row in rows}

    assert {row[0]: row[1] for row in rows} == PUBLIC
    assert public | set(private) == keys
    assert not public & set(private)
    assert [key for key in public if key.startswith(tuple(private))] == []


def test_the_transaction_and_the_ids_are_those_of_the_code() -> None:
    """The keys in the transaction; how the ID of a change is made."""
    commands = TEXT[TEXT.index("MULTI\n") :].split("```")[0].splitlines()

    assert commands[1:4] == [
        f"DEL {KEYS.result}<job>",
        f"SET {KEYS.job}<job> <payload> NX PX 86400000",
        f"ZADD {CONTROL_QUEUE} NX <time> <job>",
    ]
    assert f"`<job>{CHANGE_SUFFIX}`" in TEXT
    assert f"`<batch>{BATCH_MARK}<job>{CHANGE_SUFFIX}`" in TEXT


def test_times_and_limits_are_the_defaults_and_constants_of_the_code() -> None:
    """A variable has its default; what has none is a constant."""
    rows = table(PAGE, "| what | value | variable |")
    defaults = {
        variable_name(field.name): str(field.default).removesuffix(".0")
        for settings in (ProducerSettings, WorkerSettings)
        for field in msgspec.structs.fields(settings)
    }

    assert [(row[2], row[1]) for row in rows if row[2]] == [(row[2], defaults[row[2]]) for row in rows if row[2]]
    assert [float(row[1]) for row in rows if not row[2]] == [
        *(MAX_TTL_S, control_jobs.MAX_JOB_BYTES, MAX_SETTINGS, MAX_ID_CHARS, MAX_ID_CHARS - len(CHANGE_SUFFIX)),
        *(MAX_BATCH_ID_CHARS, MAX_ATTEMPTS, control_jobs.SUBMIT_TRIES),
        *(lane_worker.CONTROL_JOBS, lane_worker.CONTROL_POLL_S),
    ]


def test_users_and_keys_of_a_queue_with_shards_are_those_of_the_code() -> None:
    """The examples of the page, and the tags of four shards."""
    section = TEXT[TEXT.index("## A queue with shards") : TEXT.index("## Keys and channels")]
    text = " ".join(section.split())
    tags = [keys.tag for keys in shard_keyspaces("copytrade", 4)]

    assert f"`1001` is in {shard_of('1001', 4)} (its CRC-32 is {crc32(b'1001')})" in text
    assert f"and `1002` in {shard_of('1002', 4)}." in text
    assert [f"`{tag}`" in text for tag in tags] == [True] * 4
    assert f"`{tags[shard_of('1001', 4)]}:arq:result:<ID>`" in text
    assert f"`{shards_mark(1)}/N`" in text

"""The page of the wire says what the code does: each key, channel, field, type, default, limit and example."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import msgspec
import pytest
from arq.jobs import deserialize_job_raw, serialize_result
from arq.worker import JobExecutionFailed

from ops.keys import KEYS
from producers import Outcome, errors
from producers.contract.attempt_history import MAX_ATTEMPTS
from producers.contract.codec import deserialize, encode_result, serialize
from producers.contract.ids import BATCH_MARK
from producers.contract.keyspace import CONTROL_QUEUE, Keyspace
from producers.contract.layout import LAYOUT
from producers.contract.messages import APPLY_SETTINGS, CHANGE_SUFFIX, CONTRACT_VERSION
from producers.contract.reader import change_from_wire
from producers.contract.schema import schema
from producers.contract.validation import MAX_BATCH_ID_CHARS, MAX_ID_CHARS, MAX_SETTINGS
from producers.queue.progress import FIELDS
from producers.settings import MAX_TTL_S, ProducerSettings, variable_name
from tests.support.changes import result
from tests.support.pages import ROOT, table
from worker.process import control_jobs, lane_worker
from worker.settings import WorkerSettings

PAGE = "producers/contract/WIRE.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
MESSAGES: dict[str, dict[str, Any]] = schema()["$defs"]
TYPES = {"text": str, "integer": int, "boolean": bool, "list": list, "map": dict}
TABLES = {
    "SettingsChange": "| field of a change |",
    "CopySetting": "| field of a CopySetting |",
    "JobResult": "| field of a JobResult |",
    "Attempt": "| field of an Attempt |",
}
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


def block(language: str) -> str:
    """Return the first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def page_type(field: dict[str, Any]) -> str:
    """Return a type of the schema in the page's words."""
    field = next((part for part in field.get("anyOf", ()) if part.get("type") != "null"), field)
    if "$ref" in field:
        name: str = field["$ref"].rpartition("/")[2]
        return "text" if "enum" in MESSAGES[name] else name
    if field.get("type") == "array":
        return f"list of {page_type(field['items'])}"
    kind: str = field.get("type", "string")
    return "text" if kind == "string" else kind


def test_the_page_is_of_this_contract_and_layout() -> None:
    """A new version needs another look at the page."""
    assert f"contract version `{CONTRACT_VERSION}` and layout `{LAYOUT}`" in TEXT


@pytest.mark.parametrize("message", TABLES)
def test_the_fields_of_a_message_are_those_of_the_contract(message: str) -> None:
    """Names, types and defaults, in the order of the contract."""
    required = MESSAGES[message].get("required", ())
    fields = [
        [name, page_type(field), "required" if name in required else json.dumps(field["default"])]
        for name, field in MESSAGES[message]["properties"].items()
    ]

    assert [row[:3] for row in table(PAGE, TABLES[message])] == fields


def test_the_outcomes_are_those_of_the_contract() -> None:
    """In their order."""
    assert [row[0] for row in table(PAGE, "| outcome | meaning |")] == list(Outcome)


def test_a_job_has_the_fields_that_a_worker_reads() -> None:
    """Those with a default may be left out."""
    rows = {name: kind for name, kind, _ in table(PAGE, "| field | type | meaning |\n|---|---|---|\n| `f`")}
    fields = msgspec.structs.fields(control_jobs.ControlJob)

    assert rows.keys() == {field.name for field in fields}
    assert [field.name for field in fields if not field.required] == ["t"]
    assert rows == {"f": "text", "a": "list", "k": "map", "et": "integer", "t": "integer or null"}


def test_the_keyword_arguments_are_those_of_submit() -> None:
    """All have a default."""
    parameters = inspect.signature(control_jobs.submit).parameters.values()
    options = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

    assert [row[0] for row in table(PAGE, "| name | type | default |")] == [option.name for option in options]
    assert all(option.default is None for option in options)


def test_the_example_is_a_job_that_a_worker_runs() -> None:
    """Its hex is its JSON in msgpack, as arq reads it; its change is valid, and its options are the page's."""
    job, payload = json.loads(block("json")), bytes.fromhex(block("hex"))

    assert msgspec.msgpack.decode(payload) == job
    assert serialize(job) == payload
    assert deserialize_job_raw(payload, deserializer=deserialize)[0] == job["f"] == control_jobs.submit.__name__
    assert change_from_wire(job["a"][0]).user_id == "1001"
    assert job["k"].keys() <= {row[0] for row in table(PAGE, "| name | type | default |")}


def test_a_stored_result_has_the_fields_and_types_of_the_page() -> None:
    """That of a change, and that of a job."""
    rows = {name: kind for name, kind, _ in table(PAGE, "| field | type | meaning |\n|---|---|---|\n| `s`")}
    answer = serialize_result("submit", (), {}, 1, 1, True, {}, 1, 1, "", CONTROL_QUEUE, "j", serializer=serialize)
    failed = control_jobs.failed_result("j", "why", CONTROL_QUEUE)
    assert answer
    assert failed

    for stored in map(msgspec.msgpack.decode, (encode_result(result("j")), answer, failed)):
        assert stored.keys() == rows.keys()
        for name, kind in rows.items():
            assert isinstance(stored[name], tuple(TYPES[one] for one in kind.split(" or "))), name
    assert msgspec.msgpack.decode(encode_result(result("j")))["f"] == APPLY_SETTINGS


def test_the_errors_are_those_of_the_producers_side() -> None:
    """And one of arq's, for a job that has expired."""
    names = [name for row in table(PAGE, "| error | cause |") for name in row[0].split("`, `")]

    assert [name for name in names if not hasattr(errors, name)] == [JobExecutionFailed.__name__]


def test_the_fields_of_a_batch_and_its_stream_are_those_that_scripts_write() -> None:
    """Those that the client reads, and those by which a script tells that the batch is complete."""
    batch = {name for row in table(PAGE, "| field of a batch |") for name in row[0].split("`, `")}
    entry = {row[0] for row in table(PAGE, "| field of an entry |")}
    script = (ROOT / "producers/queue/batches.lua").read_text(encoding="utf-8")
    written = re.findall(r"'XADD', [^']+'\*', (.+?)\)", script)

    assert batch == {*FIELDS, "finished", "end_entry"}
    assert all(f"'{name}'" in script for name in ("finished", "end_entry"))
    assert [re.findall(r"'([a-z]+)'", fields) for fields in written] == [["job", "outcome"], ["end"]]
    assert entry == {"job", "outcome", "end"}


def test_every_key_is_public_with_its_type_or_private() -> None:
    """No key is both, and no other name begins with a private one."""
    rows = table(PAGE, "| key | type | for others |")
    private = re.findall(r"copytrade:\S+", TEXT[TEXT.index("Private, with all") :].split("```")[1])
    keys = {getattr(KEYS, name) for name in vars(Keyspace) if not name.startswith("_") and name != "bucket_of"}
    public = {re.sub("<.*", "", row[0]) for row in rows}

    assert {row[0]: row[1] for row in rows} == PUBLIC
    assert public - {CONTROL_QUEUE} | set(private) == keys
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

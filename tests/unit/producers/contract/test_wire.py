"""The page of the wire says what the code does: each message with its fields, types, defaults and values."""

from __future__ import annotations

import inspect
import json
import re
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, create_autospec

import msgspec
import pytest
from arq.jobs import deserialize_job_raw, serialize_result
from arq.worker import JobExecutionFailed

from producers import Outcome, Producer, errors
from producers.contract.codec import deserialize, encode_result, serialize
from producers.contract.keyspace import CONTROL_QUEUE
from producers.contract.layout import LAYOUT
from producers.contract.messages import APPLY_SETTINGS, CONTRACT_VERSION
from producers.contract.reader import change_from_wire
from producers.contract.schema import schema
from producers.queue.progress import FIELDS
from tests.support.changes import result
from tests.support.pages import ROOT, table
from worker.attempt.retry import AMBIGUOUS
from worker.exchange.replies import ReplyClass
from worker.process import control_jobs

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


def block(language: str) -> str:
    """Return the first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def not_null(field: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a field's schema that is not null."""
    part: dict[str, Any] = next((part for part in field.get("anyOf", ()) if part.get("type") != "null"), field)
    return part


def page_type(field: dict[str, Any]) -> str:
    """Return a type of the schema in the page's words."""
    field = not_null(field)
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
    """With their types; null, the default of each, is the default of `enqueue`."""
    types = {"number": float, "text": str, "boolean": bool}
    rows = [(name, types[kind], default) for name, kind, default, _ in table(PAGE, "| name | type | default |")]
    parameters = inspect.signature(control_jobs.submit, eval_str=True).parameters.values()
    options = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    defaults = inspect.signature(Producer.enqueue).parameters

    assert [(name, kind | None) for name, kind, _ in rows] == [(option.name, option.annotation) for option in options]
    assert all(option.default is None for option in options)
    assert [default for *_, default in rows] == [
        "COPYTRADE_CHANGE_TTL_S` of the workers",
        defaults["priority"].default,
        json.dumps(defaults["coalesce"].default),
        "none",
        "none",
    ]


async def test_the_answers_have_the_fields_and_types_of_the_page() -> None:
    """Of a `submit` job, and of `seal_batch`."""
    producer = create_autospec(Producer, instance=True)
    producer.enqueue.return_value = SimpleNamespace(job_id="j.change", already_there=True)
    producer.batch.return_value.seal = AsyncMock()
    context = {"producer": producer, "job_id": "j", "job_try": 1}

    answer = await control_jobs.submit(context, json.loads(block("json"))["a"][0])

    assert {name: TYPES[kind] for name, kind, _ in table(PAGE, "| field of an answer |")} == {
        name: type(value) for name, value in answer.items()
    }
    assert await control_jobs.seal_batch(context, "july") == {"batchId": "july"}
    assert f"`{control_jobs.seal_batch.__name__}` job that was done is a map with `batchId`" in TEXT


@pytest.mark.parametrize("message", TABLES)
def test_the_values_of_an_enumeration_are_all_named(message: str) -> None:
    """In the row of their field; outcomes have a table of their own."""
    meanings = {row[0]: f"`{row[-1]}`" for row in table(PAGE, TABLES[message])}
    fields = MESSAGES[message]["properties"].items()

    assert [
        value
        for name, field in fields
        for value in not_null(field).get("enum", ())
        if f"`{value}`" not in meanings[name]
    ] == []


def test_the_verdicts_of_an_attempt_are_those_of_the_worker() -> None:
    """In any order."""
    (verdicts,) = [row[-1] for row in table(PAGE, TABLES["Attempt"]) if row[0] == "verdict"]

    assert set(re.split(r"`, `|` or `", verdicts)) == {*ReplyClass, AMBIGUOUS}


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

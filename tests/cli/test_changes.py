"""`enqueue`, `status`, `result`, `cancel`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Job, Outcome, Producer
from producers.contract.codec import decode_change
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.copytrade import FLAGS, Copytrade

WHOLE = json.dumps(
    {
        "userId": "1001",
        "traderId": "t1",
        "settings": [
            {
                "symbol": "BTCUSDT",
                "productType": "USDT-FUTURES",
                "marginType": "trader",
                "leverType": "trader",
                "traceType": "amount",
                "traceValue": "330",
            }
        ],
    }
)


def enqueued(copytrade: Copytrade, job_id: str = "order-1", user: str = "1001") -> str:
    async def work(producer: Producer) -> Job:
        return await producer.enqueue(change(user), job_id=job_id)

    return copytrade.ask(work).job_id


def test_a_change_of_flags_is_enqueued_and_its_id_printed_alone(copytrade: Copytrade) -> None:
    """A shell script can read the ID from standard output."""
    job_id = copytrade("enqueue", "--user", "1001", *FLAGS).stdout.strip()

    wait: dict[str, Any] = {"reason": "no_worker", "message": "no worker is alive", "expectedAtMs": None, "facts": {}}
    expected = {"jobId": job_id, "state": "queued", "position": 0, "wait": wait, "result": None, "attempts": []}
    status = copytrade.json("status", job_id)
    assert {name: status[name] for name in expected} == expected
    assert (status["change"]["userId"], status["priority"], status["batchId"]) == ("1001", "interactive", None)
    assert status["expiresAtMs"] > status["enqueuedAtMs"]


def test_a_whole_change_comes_from_a_file_or_standard_input(copytrade: Copytrade) -> None:
    """Flags replace what it says."""
    first = copytrade.json("enqueue", "-", "--job-id", "a", stdin=WHOLE)
    again = copytrade.json("enqueue", "-", "--job-id", "a", stdin=WHOLE)
    copytrade("enqueue", "-", "--user", "1002", "--trace-value", "7", "--job-id", "b", stdin=WHOLE)

    assert first == {"jobId": "a", "alreadyThere": False, "result": None}
    assert again["alreadyThere"] is True
    assert copytrade.json("user", "show", "1002")["lanes"][0]["head"] == "b"


def test_settings_may_come_from_a_file_of_their_own(copytrade: Copytrade, settings_file: str) -> None:
    """The file has the same format as for a fan-out."""
    copytrade("enqueue", "--user", "1001", "--settings", settings_file, "--job-id", "a")

    assert copytrade.json("status", "a")["state"] == "queued"


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("--user", "1001"), "", "traderId: is missing"),
        (("--user", "1001", "--trader", "t1"), "", "settings: is missing"),
        (("--user", "1001", "--settings", "/dev/zero"), "", "is in UTF-16, or is not text"),
        (("-",), " " * 2_000_000, "longer than 1,048,576 bytes"),
        (("-",), WHOLE.encode("utf-16"), "is in UTF-16, or is not text; save it as JSON in UTF-8"),
        (("--user", "1001", "--settings", "-"), b"PK\x03\x04", "and not text; save it as JSON in UTF-8"),
        ((*FLAGS,), "", "userId: "),
        (("-",), "{", "is not a JSON file in UTF-8"),
        (("-",), "[]", "must be one change, a JSON object"),
        (("-", "--stop-loss-ratio", "0.5"), WHOLE, "settings[0].stopLossRatio: must be"),
        (("-", "--ttl", "-1"), WHOLE, "'--ttl'"),
        (
            ("-", "--ttl", "nan"),
            WHOLE,
            "Invalid value for '--ttl': must be a number, above 0, at most 315360000; got 'nan'; see",
        ),
        (
            ("-", "--ttl", "soon"),
            WHOLE,
            "Invalid value for '--ttl': must be a number, above 0, at most 315360000; got 'soon'",
        ),
        (
            ("-", "--timeout", "1e99"),
            WHOLE,
            "Invalid value for '--timeout': must be a number from 0 to 1000000000; got '1e99'",
        ),
        (("-", "--job-id", "two words"), WHOLE, "--job-id: must be"),
        (("-", "--job-id", "batch..1"), WHOLE, "--job-id: must not contain"),
        (("-", "--settings", "-"), WHOLE, "cannot be combined"),
        (("--product-type", "SPOT"), "", "'SPOT' is not one of"),
        (("-", "--user", "--no-wait"), WHOLE, "--user needs a value; see copytrade enqueue --help"),
        (("-", "--job-id", "--coalesce"), WHOLE, "--job-id needs a value"),
        (("--no-such-option",), "", "; see copytrade enqueue --help"),
        (("--wait=3",), "", "does not take a value; see copytrade enqueue --help"),
        (("/no/such/file",), "", "No such file"),
    ],
)
def test_malformed_input_is_one_line_with_status_2_and_changes_nothing(
    copytrade: Copytrade, words: tuple[str, ...], stdin: str | bytes, said: str
) -> None:
    """Cases: fields, JSON, options, IDs, and files that cannot be opened."""
    assert said in copytrade.error("enqueue", *words, stdin=stdin, status=2)
    assert copytrade.json("top", "--once")["interactive"]["users"] == 0


def test_json_is_no_value_of_another_option(copytrade: Copytrade) -> None:
    """The error is JSON: it was asked for, and the value of --job-id was forgotten."""
    result = copytrade("enqueue", "-", "--job-id", "--json", stdin=WHOLE, status=2)

    assert json.loads(result.stderr)["message"] == "--job-id needs a value; see copytrade enqueue --help"
    assert copytrade.json("top", "--once")["interactive"]["users"] == 0


def test_with_json_errors_are_json_on_standard_error(copytrade: Copytrade) -> None:
    """Standard output stays empty."""
    result = copytrade("status", "nobody", "--json", status=4)

    assert result.stdout == ""
    assert json.loads(result.stderr)["status"] == 4


def test_the_requests_so_far_are_shown_of_a_change_that_waits(copytrade: Copytrade) -> None:
    """After a failed one it waits for the next."""
    job_id = enqueued(copytrade)
    copytrade.attempt_all("transient", code="40015")

    lines = copytrade("status", job_id).stdout.splitlines()

    assert lines[0] == "state\tqueued"
    assert lines[-1].split("\t")[2:5] == ["transient", "-", "40015"]
    assert [each["code"] for each in copytrade.json("status", job_id)["attempts"]] == ["40015"]


def test_the_result_of_an_applied_change_is_shown_and_its_status_is_0(copytrade: Copytrade) -> None:
    """In a pipe, names and values are separated by tabs."""
    job_id = enqueued(copytrade)
    copytrade.end_all()

    lines = dict(line.split("\t") for line in copytrade("result", job_id).stdout.splitlines())

    assert (lines["job"], lines["outcome"], lines["user"]) == (job_id, "applied", "1001")
    assert copytrade.json("result", job_id)["outcome"] == "applied"
    assert copytrade.json("status", job_id)["state"] == "done"


def test_a_change_that_was_not_applied_has_status_1(copytrade: Copytrade) -> None:
    """Control characters in the exchange's message are escaped."""
    job_id = enqueued(copytrade)
    copytrade.end_all({"1001": Outcome.REJECTED}, code="40034", message="no such \x1b[31mtrader")

    shown = copytrade("result", job_id, status=1).stdout

    assert "message\tno such \\x1b[31mtrader\n" in shown
    assert copytrade.json("result", job_id, status=1)["code"] == "40034"


def test_a_change_that_has_not_ended_has_status_5(copytrade: Copytrade) -> None:
    """The status is the same without --wait and after its time-out."""
    job_id = enqueued(copytrade)

    assert "has not finished" in copytrade.error("result", job_id, status=5)
    assert "has not finished" in copytrade.error("result", job_id, "--wait", "--timeout", "0.05", status=5)


@pytest.mark.parametrize("command", ["status", "result", "cancel"])
def test_an_unknown_change_has_status_4(copytrade: Copytrade, command: str) -> None:
    """The change was never accepted, or its result has expired."""
    assert "no change nobody" in copytrade.error(command, "nobody", status=4)


@pytest.mark.parametrize("command", ["status", "result", "cancel"])
def test_a_malformed_id_has_status_2(copytrade: Copytrade, command: str) -> None:
    """The message names the field and its rule."""
    assert "JOB_ID: must be" in copytrade.error(command, "two words", status=2)


def test_a_queued_change_is_cancelled_and_an_ended_one_is_not(copytrade: Copytrade) -> None:
    """Exit status 1 reports that the change had already ended."""
    first, second = enqueued(copytrade, "a"), enqueued(copytrade, "b", "1002")

    assert copytrade.json("cancel", first) == {"jobId": "a", "cancellation": "cancelled"}
    copytrade.end_all()

    assert copytrade.json("result", first, status=1)["outcome"] == "cancelled"
    assert copytrade("cancel", second, status=1).stdout == "not cancelled: it had ended\n"


def test_a_change_is_enqueued_with_coalesce(copytrade: Copytrade, valkey_dsn: str) -> None:
    """The worker reads the option from the stored payload."""

    async def stored() -> bytes | None:
        client = open_redis(valkey_dsn, ArqRedis, timeout_s=5)
        payload: bytes | None = await client.get(KEYS.job + job_id)
        await client.aclose()
        return payload

    job_id = copytrade.json("enqueue", "--user", "1001", *FLAGS, "--coalesce")["jobId"]
    payload = asyncio.run(stored())

    assert payload is not None
    assert decode_change(payload).k.coalesce is True

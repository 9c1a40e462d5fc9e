"""Bodies, parameters and pages that mean harm or are broken: each gets a clear error, and nothing is half written."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from producers.gateway import GatewaySettings, create_app
from tests.support.changes import change
from tests.support.gateway import CSV, NDJSON, SETTINGS, body, gateway_on, lines, listening
from tests.support.raw_http import connected, connections, until

ROWS = {"traderId": "t1", "settings": SETTINGS}
BATCH = {"traderId": "t1", "settings": body()["settings"]}


async def test_half_a_body_writes_nothing_and_the_whole_one_is_accepted_later(valkey_dsn: str) -> None:
    """Under the same Idempotency-Key."""
    app = create_app(GatewaySettings(redis_dsn=valkey_dsn, gateway_auth=False))
    whole = lines("1", "2", "3")
    target = str(httpx.URL("/v1/batches", params=ROWS))
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nIdempotency-Key: k\r\n"
    async with listening(app) as server:
        async with connected(server) as (_, writer):
            writer.write(f"{head}Content-Length: {len(whole)}\r\n\r\n".encode() + whole[:5])
            await until(lambda: any(one._body_bytes for one in connections(server)))
        await until(lambda: not server.server_state.tasks)
        async with connected(server) as (reader, writer):
            writer.write(b"GET /v1/batches HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            before = await reader.read(-1)
        async with connected(server) as (reader, writer):
            writer.write(f"{head}Connection: close\r\nContent-Length: {len(whole)}\r\n\r\n".encode() + whole)
            after = await reader.read(-1)

    assert before.endswith(b"\r\n\r\n[]")
    assert after.startswith(b"HTTP/1.1 202 ")
    assert b'"accepted":3,"alreadyThere":0' in after


@pytest.mark.parametrize(
    ("path", "content", "kind", "status", "rule"),
    [
        ("/v1/changes", b'{"userId": "\xff"}', "application/json", 422, "must be JSON"),
        ("/v1/changes:bulk", b'["\xff"]', "application/json", 422, "items are invalid"),
        ("/v1/changes:bulk", b'{"userId": "\xff"}\n', NDJSON, 422, "must be JSON"),
        ("/v1/batches", b'"\xff"\n"2"\n', NDJSON, 202, "must be UTF-8"),
        ("/v1/batches", b"user_id\n\xff\n2\n", CSV, 202, "must be UTF-8"),
        ("/v1/batches", b"1" * 10_000_000 + b"\n2\n", NDJSON, 202, "must be shorter than 65536 bytes"),
        ("/v1/batches", b"user_id\n" + b"1" * 10_000_000 + b"\n2\n", CSV, 202, "must be shorter than 65536 bytes"),
        ("/v1/changes", b'"' + b"1" * 10_000_000 + b'"', "application/json", 413, "must be at most 4,194,304 bytes"),
        ("/v1/changes", b"[" * 1_000_000, "application/json", 422, "must be JSON"),
        ("/v1/pauses/pause", b"0 0", "application/json", 422, "must be JSON"),
        ("/v1/changes:bulk", b"[" * 1_000_000, "application/json", 422, "must be JSON"),
        ("/v1/changes:bulk", b"{}", "application/json", 422, "must be an array"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_broken_and_oversized_bodies_get_an_error_by_row(
    gateway: httpx.AsyncClient, path: str, content: bytes, kind: str, status: int, rule: str
) -> None:
    """Rows that are valid are enqueued, as always."""
    params = ROWS if path == "/v1/batches" else {}
    answer = await gateway.post(path, params=params, content=content, headers={"Content-Type": kind})

    assert answer.status_code == status
    assert rule in answer.text


@pytest.mark.parametrize("good", [True, False], ids=["beside a good row", "alone"])
@pytest.mark.parametrize("name", ["\\ud800", "x" * 60_000], ids=["lone surrogate", "60,000 characters"])
async def test_a_field_name_that_json_cannot_carry_is_shown_escaped_and_a_long_one_cut(
    gateway: httpx.AsyncClient, name: str, *, good: bool
) -> None:
    """What is in the queue then is what the answer says."""
    row = b'{"%b": 1, "userId": "8"}\n' % name.encode()
    content = (lines("7") if good else b"") + row
    answer = await gateway.post("/v1/batches", params=ROWS, content=content, headers={"Content-Type": NDJSON})

    assert answer.status_code == (202 if good else 422)
    shown = answer.json()["refused" if good else "errors"][0]["field"]
    assert shown == (r"'\ud800'" if name == "\\ud800" else f"'{'x' * 79}... (60002 characters)")


@pytest.mark.parametrize(
    ("content", "kind", "rule"),
    [
        (b"1001\n1002\n", CSV, "must name the columns, among them user_id"),
        (b"user_id,note\n1,vip\n", CSV, "is not a field"),
        (b'["1", "2"]', NDJSON, "this is one JSON array; write one value a line"),
        (b"\x1f\x8b\x08", CSV, "the file is compressed; give its content"),
        (b"", CSV, "the body has no rows"),
    ],
)
async def test_errors_of_rows_name_nothing_of_the_command_line(
    gateway: httpx.AsyncClient, content: bytes, kind: str, rule: str
) -> None:
    """Its options are not the caller's."""
    answer = await gateway.post("/v1/batches", params=ROWS, content=content, headers={"Content-Type": kind})

    assert (answer.status_code, rule in answer.json()["detail"]) == (422, True)
    assert "--" not in answer.text
    assert "copytrade " not in answer.text


async def test_settings_that_are_nested_too_deeply_are_refused(gateway: httpx.AsyncClient) -> None:
    """As a parameter of rows."""
    params = ROWS | {"settings": "[" * 20_000}
    answer = await gateway.post("/v1/batches", params=params, content="user_id\n1\n", headers={"Content-Type": CSV})

    assert (answer.status_code, answer.json()["field"]) == (422, "settings")


async def test_of_many_errors_some_are_listed_and_the_others_counted(gateway: httpx.AsyncClient) -> None:
    """So that neither the answer nor the memory grows with the body."""
    answers = [
        await gateway.post("/v1/changes:bulk", json=[1] * 3000),
        await gateway.post("/v1/batches", json=BATCH | {"userIds": [1] * 3000}),
        await gateway.post("/v1/batches", json={"changes": [1] * 3000}),
        await gateway.post("/v1/batches", params=ROWS, content="{\n" * 3000, headers={"Content-Type": NDJSON}),
    ]
    some = await gateway.post("/v1/batches", json=BATCH | {"userIds": ["1", *[2] * 3000]})

    assert [answer.status_code for answer in answers] == [422] * 4
    assert {(len(answer.json()["errors"]), answer.json()["errorsLeftOut"]) for answer in answers} == {(1000, 2000)}
    assert (some.status_code, some.json()["given"], some.json()["accepted"]) == (202, 3001, 1)
    assert (some.json()["refused"][0]["index"], some.json()["refusedLeftOut"]) == (1, 2000)


async def test_what_is_refused_later_keeps_its_place(valkey_dsn: str) -> None:
    """The place in the body that the caller sent, whatever was left out before."""
    async with gateway_on(valkey_dsn, lane_limit=1) as gateway:
        await gateway.post("/v1/changes", json=body(change("1")))
        csv = "user_id\nnot an id\n1\n2\n"
        rows = await gateway.post("/v1/batches", params=ROWS, content=csv, headers={"Content-Type": CSV})
        json = await gateway.post("/v1/batches", json=BATCH | {"userIds": ["not an id", "1", "3"]})

    assert [(row["line"], "index" in row) for row in rows.json()["refused"]] == [(2, False), (3, False)]
    assert [row["index"] for row in json.json()["refused"]] == [0, 1]


async def test_others_are_served_while_a_large_body_is_checked(gateway: httpx.AsyncClient) -> None:
    """A body of many small items takes no turn of theirs."""
    ended: list[str] = []

    async def call(name: str, method: str, path: str, **options: Any) -> None:
        await gateway.request(method, path, **options)
        ended.append(name)

    content, headers = b"1\n" * 300_000, {"Content-Type": NDJSON}
    many = asyncio.create_task(call("many", "POST", "/v1/changes:bulk", content=content, headers=headers))
    while not many.done():
        await call("one", "GET", "/v1/batches")
    await many

    assert ended.index("many") > 10


@pytest.mark.parametrize(
    ("query", "status"), [("dryrun=true", 400), ("dryRun=true&dryRun=false", 400), ("dryRun=%FF", 400), ("%FF", 400)]
)
async def test_a_parameter_that_is_not_understood_stops_the_call(
    gateway: httpx.AsyncClient, query: str, status: int
) -> None:
    """A misspelt `dryRun` must not enqueue."""
    url = f"/v1/batches?{httpx.QueryParams(ROWS)}&{query}"
    answer = await gateway.post(url, content="user_id\n1\n", headers={"Content-Type": CSV})

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert (await gateway.get("/v1/batches")).json() == []


async def test_a_batch_in_json_takes_no_parameters(gateway: httpx.AsyncClient) -> None:
    """It would have them in its body, and a `dryRun` that is ignored enqueues."""
    answer = await gateway.post("/v1/batches", params={"dryRun": True}, json=BATCH | {"userIds": ["1"]})

    assert (answer.status_code, answer.json()["field"]) == (422, "query")
    assert (await gateway.get("/v1/batches")).json() == []


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_without_keys_a_page_in_this_machines_browser_changes_nothing(
    gateway: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    """A form, or a fetch that needs no preflight, is sent without asking."""
    content = str(body())
    answers = [
        await gateway.post("/v1/pauses/pause", content='{"everything": true}', headers=headers),
        await gateway.post("/v1/users/1/pause", headers=headers),
        await gateway.post("/v1/changes", content=content, headers=headers | {"Content-Type": "text/plain"}),
    ]
    rebound = await gateway.get("/v1/batches", headers={"Host": "evil.example"})

    assert [answer.status_code for answer in answers] == [403] * 3
    assert rebound.status_code == 400
    assert (await gateway.get("/v1/pauses")).json() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("TRACE", "/v1/changes", 405),
        ("HEAD", "/v1/batches", 405),
        ("PATCH", "/v1/changes/a", 405),
        ("GET", "/v1/changes/a%2Fb", 404),
        ("GET", "/v1/changes/..%2F..%2Flivez", 404),
        ("GET", "/v1/changes/%2e%2e", 404),
        ("GET", "/v1/changes/%00", 422),
        ("GET", "/v1/changes/%FF", 422),
        ("GET", "/v1/changes/" + "a" * 10_000, 422),
        ("GET", "//v1//changes//a", 404),
    ],
)
async def test_odd_methods_and_paths_get_a_problem(
    gateway: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """None of them reaches another resource."""
    answer = await gateway.request(method, path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


async def test_the_overview_has_the_names_of_the_command_line(gateway: httpx.AsyncClient) -> None:
    """As all other answers: in camel case."""
    await gateway.post("/v1/users/1/pause")
    found = (await gateway.get("/v1/overview")).json()

    assert "sinceMs" in found["pauses"][0]


async def test_a_compressed_body_is_refused_and_without_a_body_there_is_nothing_to_compress(
    gateway: httpx.AsyncClient,
) -> None:
    """A small one could become any size."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    assert (await gateway.post("/v1/changes", content=b"{}", headers=headers)).status_code == 415
    assert (await gateway.get("/v1/batches", headers=headers)).status_code == 200
    assert (await gateway.post("/v1/users/1/pause", headers=headers)).status_code == 200

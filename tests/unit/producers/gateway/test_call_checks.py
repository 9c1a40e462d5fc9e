"""What a call must be before it is routed: its path below a prefix, its host, its origin, its headers."""

from __future__ import annotations

from typing import Any

import pytest

from producers.gateway.serving.call_checks import call_refusal, own_path

SEGMENTS = ("v1", "livez")


def refusal(
    headers: dict[str, Any], method: str = "POST", *, query: bytes = b"", hosts: tuple[str, ...] = (), auth: bool
) -> int | None:
    """Return the status with which a call is refused; None if it is not."""
    given = [
        (name.encode(), value.encode())
        for name, values in headers.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    found = call_refusal(method, query, given, hosts, auth=auth)
    return None if found is None else found.status.value


@pytest.mark.parametrize(
    ("path", "prefix", "own"),
    [
        ("/v1/changes", "", "/v1/changes"),
        ("/ct/v1/changes", "/ct", "/v1/changes"),
        ("/v1/changes", "/ct", "/v1/changes"),
        ("/ct/ct/v1/changes", "/ct", "/v1/changes"),
        ("/v1/changes/ct", "/ct", "/v1/changes/ct"),
        ("/ctx/v1/changes", "/ct", "/ctx/v1/changes"),
        ("/v1/changes", "/v1", "/v1/changes"),
        ("/v1/v1/changes", "/v1", "/v1/changes"),
        ("/v1/v1/v1/changes", "/v1", "/v1/changes"),
        ("/ct/livez", "/ct", "/livez"),
        ("/ct/nothing", "/ct", "/nothing"),
    ],
)
def test_the_prefix_is_taken_off_however_it_is_passed_on(path: str, prefix: str, own: str) -> None:
    """By a proxy that takes it off, by one that does not, by a server, by an application that mounts this one."""
    assert own_path(path, prefix, SEGMENTS) == own


@pytest.mark.parametrize("name", ["authorization", "content-type", "idempotency-key", "last-event-id", "host"])
def test_a_header_that_must_be_unique_is_refused_twice(name: str) -> None:
    """Others may be repeated."""
    assert refusal({name: ["localhost", "localhost"]}, auth=True) == 400
    assert refusal({name: "localhost", "accept": ["a/b", "c/d"]}, auth=True) is None


@pytest.mark.parametrize(
    ("query", "status"),
    [(b"dryRun=true&dryRun=false", 400), (b"a=&%61=", 400), (b"a=1&b=1", None), (b"\xff=\xff", None), (b"", None)],
)
def test_a_parameter_that_is_there_twice_is_refused(query: bytes, status: int | None) -> None:
    """In whatever spelling."""
    assert refusal({}, query=query, auth=True) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("queue.example", None),
        ("QUEUE.example:8321", None),
        ("queue.example.", None),
        ("a.wild.example", None),
        ("[2001:db8::1]:8321", None),
        ("wild.example", 400),
        ("queue.example.evil.example", 400),
        ("evil.example:80.wild.example", 400),
        ("[2001:db8::1].evil.example", 400),
        ("evil.example", 400),
        ("", 400),
    ],
)
def test_the_hosts_of_the_setting_are_served(host: str, status: int | None) -> None:
    """With their port or without."""
    assert refusal({"host": host}, hosts=("queue.example", "*.wild.example", "2001:db8::1"), auth=True) == status


@pytest.mark.parametrize("host", ["localhost", "localhost:8321", "127.0.0.1:8321", "127.8.8.8", "[::1]:8321", "[::1]"])
def test_without_keys_this_machines_names_are_served(host: str) -> None:
    """In any form."""
    assert refusal({"host": host}, auth=False) is None


@pytest.mark.parametrize("host", ["[::1].evil.example", "localhost:80.evil.example", "[::1]]", "[localhost", ":80", ""])
def test_without_keys_what_only_begins_as_this_machines_name_is_refused(host: str) -> None:
    """Nothing but a port may follow it."""
    assert refusal({"host": host}, "GET", auth=False) == 400


def test_without_keys_no_other_name_is_served() -> None:
    """A page under a name that leads to this machine (DNS rebinding) could call with it. The setting adds names."""
    assert refusal({"host": "evil.example:8321"}, "GET", auth=False) == 400
    assert refusal({"host": "evil.example:8321"}, "GET", auth=True) is None
    assert refusal({"host": "queue.example"}, "GET", auth=False, hosts=("queue.example",)) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"sec-fetch-site": "same-origin"}, None),
        ({"sec-fetch-site": "none"}, None),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:8321"}, 403),
        ({"origin": "http://localhost:8321"}, None),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_without_keys_a_page_of_another_origin_changes_nothing(headers: dict[str, str], status: int | None) -> None:
    """A form, or a fetch without a preflight, needs no permission of ours to be sent."""
    given = {"host": "localhost:8321"} | headers
    assert refusal(given, auth=False) == status
    assert refusal(given, "GET", auth=False) is None
    assert refusal(given, auth=True) is None

"""The pages say what the code says: their tables, links, and the names of files, scripts, fields and tests."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from redis.crc import key_slot

import producers.gateway.app  # noqa: F401 - all kinds of problems are there then
from producers import JobState, Outcome
from producers.contract.shards import shard_keyspaces
from producers.gateway.calls.events import Event as GatewayEvent
from producers.gateway.calls.identity import MAX_BATCH_KEY_CHARS, MAX_BULK_KEY_CHARS, MAX_KEY_CHARS
from producers.gateway.calls.problem_document import TYPE_PREFIX, type_of
from producers.gateway.calls.problems import STATUS, GatewayError, of_http_error
from producers.gateway.serving.heads import refusal_of
from producers.gateway.settings import GatewaySettings
from producers.logs import ClientEvent
from producers.queue.bucket import StoredBucket
from producers.queue.cancel import Cancellation
from producers.settings import EnvironmentSettings, ProducerSettings, variable_name
from tests.support.pages import table
from worker.logs import Event
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "build" for part in path.relative_to(ROOT).parts)
)
ARCHITECTURE = (ROOT / "ops" / "ARCHITECTURE.md").read_text(encoding="utf-8")
SIDES: dict[str, type[EnvironmentSettings]] = {
    "producers": ProducerSettings,
    "worker": WorkerSettings,
    "gateway": GatewaySettings,
}
NOT_OWN = {"gateway": {field.name for field in msgspec.structs.fields(ProducerSettings)} | {"log_level", "log_format"}}
"""Fields of a side that are described as another's."""

MAX_README_LINES = 230
Kind = TypeVar("Kind", bound=Exception)
BY_PROTOCOL = [HTTPStatus(status) for status in (400, 404, 405, 408, 431, 501, 503, 505)]
"""What the framework and the protocol refuse."""

GATEWAY = "COPYTRADE_GATEWAY_"


def page_id(path: Path) -> str:
    """Return a page's test ID."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("side", SIDES)
def test_the_configuration_page_has_every_variable_with_its_default(side: str) -> None:
    """And no other variable."""
    rows = table("ops/CONFIGURATION.md", "| variable | default | side | meaning |")
    named = {name: default for name, default, whose, *_ in rows if whose in (side, "both")}
    shared = NOT_OWN.get(side, set())
    own = [field for field in msgspec.structs.fields(SIDES[side]) if field.name not in shared]
    named = named if not shared else {name: default for name, default in named.items() if name.startswith(GATEWAY)}
    defaults = {variable_name(field.name): field.default for field in own}

    assert named == {
        name: f"{default:g}" if isinstance(default, float) else str(default) for name, default in defaults.items()
    }


def test_the_page_of_redis_has_the_tags_and_slots_of_shards() -> None:
    """Operators find the nodes of a shard by them."""
    for shards, described in table("ops/REDIS.md", "| N | tags: slots |"):
        tags = [keys.tag for keys in shard_keyspaces("copytrade", int(shards))] if shards != "1" else ["{copytrade}"]
        assert re.findall(r"(\{\S+\})`?: (\d+)", described) == [(tag, str(key_slot(tag.encode()))) for tag in tags]


def test_the_outcome_table_has_every_outcome() -> None:
    """In the order of the contract."""
    assert [row[0] for row in table("producers/README.md", "| outcome | meaning |")] == list(Outcome)


def test_the_page_of_logs_has_every_event() -> None:
    """In the order of their declaration: the worker's, the gateway's, the client's."""
    assert [row[0] for row in table("ops/LOGS.md", "| event | level | meaning |")] == list(Event)
    assert [row[0] for row in table("ops/LOGS.md", "| event of the gateway |")] == list(GatewayEvent)
    assert [row[0] for row in table("ops/LOGS.md", "| event of the client |")] == list(ClientEvent)


def test_the_gateways_page_has_every_type_of_problem_with_its_status() -> None:
    """Those of the gateway, of the producers' errors, and of what the framework and the protocol answer."""
    rows = table("producers/gateway/README.md", "| status | types, after `urn:copytrade:problem:` | meaning |")
    found = {name: int(status) for status, types, _ in rows for name in re.findall(r"[a-z][a-z0-9-]+", types)}
    own: dict[type[Exception], HTTPStatus] = {
        kind: kind.status for kind in with_subclasses(GatewayError) if "console" not in kind.__module__
    }
    theirs: dict[type[Exception], HTTPStatus] = {
        each: status for kind, status in STATUS for each in with_subclasses(kind)
    }
    expected = {type_of(kind.__name__): status.value for kind, status in {**own, **theirs}.items()}
    expected |= {of_http_error(refusal_of(status, "")).type: status.value for status in BY_PROTOCOL}
    expected |= {type_of("InternalError"): HTTPStatus.INTERNAL_SERVER_ERROR.value}
    del expected[type_of(GatewayError.__name__)]

    assert {TYPE_PREFIX + name: status for name, status in found.items()} == expected


def with_subclasses(kind: type[Kind]) -> list[type[Kind]]:
    """Return a class and those that are made from it."""
    return [kind, *(found for each in kind.__subclasses__() for found in with_subclasses(each))]


def test_the_gateways_page_has_every_state_and_cancellation() -> None:
    """But for those that are answered with a 404."""
    states = [row[0] for row in table("producers/gateway/README.md", "| state | meaning |")]
    cancellations = [row[0] for row in table("producers/gateway/README.md", "| cancellation | meaning |")]

    assert states == [state for state in JobState if state is not JobState.NOT_FOUND]
    assert cancellations == [each for each in Cancellation if each is not Cancellation.NOT_FOUND]


def test_the_gateways_page_has_the_lengths_of_idempotency_keys() -> None:
    """Of one change, of a bulk call, of a batch."""
    page = (ROOT / "producers/gateway/README.md").read_text(encoding="utf-8")

    assert f"1 to {MAX_KEY_CHARS} printable ASCII" in page
    assert f"({MAX_BULK_KEY_CHARS} of a bulk call, {MAX_BATCH_KEY_CHARS} of a batch)" in page


def test_the_readme_is_short() -> None:
    """What is longer belongs beside what it describes."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < MAX_README_LINES


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    """Relative links, with or without a section."""
    links = re.findall(r"\]\((?!#|https?:)([^)#\s]+)", path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_file_that_a_page_names_exists(path: Path) -> None:
    """Paths in backticks that begin with a top-level folder, such as `worker/queue/claim.lua`."""
    named = re.findall(r"`((?:producers|worker|tests|ops)/[\w./]+\.\w+)`", path.read_text(encoding="utf-8"))

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_architecture_page_names_scripts_that_exist() -> None:
    """By their file name alone, as its tables do."""
    scripts = {path.name for package in ("producers", "worker") for path in (ROOT / package).rglob("*.lua")}

    assert set(re.findall(r"`(\w+\.lua)`", ARCHITECTURE)) <= scripts


def test_the_architecture_page_names_every_script_that_changes_state() -> None:
    """A new script gets its place in a table."""
    scripts = {path.name for package in ("producers", "worker") for path in (ROOT / package).rglob("*.lua")}
    read_only = {"may_run.lua", "overview.lua", "progress.lua"}
    of_other_state = {"replace_record.lua", "egress_slot.lua", "clock.lua", "payloads.lua", "layout.lua", "migrate.lua"}

    assert scripts - read_only - of_other_state <= set(re.findall(r"`(\w+\.lua)`", ARCHITECTURE))


def test_the_architecture_page_names_fields_that_scripts_use() -> None:
    """The fields in the second column of the bucket's table, and those named for lane, breaker and batch."""
    scripts = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("producers", "worker")
        for path in (ROOT / package).rglob("*.lua")
    )
    rows = table("ops/ARCHITECTURE.md", "| event | field | from | to | script | fenced |")
    in_bucket = {field for row in rows for field in re.findall(r"`(\w+)`", row[1])}
    lane = {"history", "lost_deliveries", "alone_until", "sent_until", "waits_for", "is_torn"}
    breaker = {"openings", "pause", "reason", "probe", "probe_at", "probe_unaffected_at"}
    batch = {"created_at", "total", "priority", "content", "template", "runs", "sealed_at", "lane_full_count"}
    batch |= {"in_flight", "started_at", "finished", "completed_at", "end_entry"}

    assert in_bucket <= {*StoredBucket.__struct_fields__}
    for field in lane | breaker | batch:
        assert f"`{field}`" in ARCHITECTURE
        assert re.search(rf"'{field}'", scripts), field

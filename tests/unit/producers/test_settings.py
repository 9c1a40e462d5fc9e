"""Settings from the environment: every variable, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from producers import ProducerSettings, SettingsError
from producers.settings import EnvironmentSettings, redact_dsn, variable_name
from worker.secret import Secret
from worker.settings import WorkerSettings

SIDES: list[type[EnvironmentSettings]] = [ProducerSettings, WorkerSettings]

GOOD: dict[str, tuple[str, Any]] = {
    "redis_dsn": ("rediss://cache:6380/2", "rediss://cache:6380/2"),
    "keyspace": ("shop", "shop"),
    "shards": ("4", 4),
    "redis_timeout_s": ("7.5", 7.5),
    "redis_connections": ("2", 2),
    "redis_wait_s": ("30", 30.0),
    "redis_full_percent": ("60", 60.0),
    "change_ttl_s": ("60", 60.0),
    "lane_limit": ("5", 5),
    "exchange_url": ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    "exchange_insecure": ("true", True),
    "credentials": ("file:/etc/keys.toml", "file:/etc/keys.toml"),
    "credentials_keys": ("file:/etc/ring", Secret("file:/etc/ring")),
    "queue": ("shop:control", "shop:control"),
    "egress": ("north", "north"),
    "egress_bind": ("203.0.113.7", "203.0.113.7"),
    "egress_proxy": ("http://10.0.0.7:3128", Secret("http://10.0.0.7:3128")),
    "user_rate_per_s": ("5", 5.0),
    "egress_rate_per_s": ("50", 50.0),
    "egress_hold_s": ("10", 10.0),
    "pace_margin_percent": ("0", 0.0),
    "max_jobs": ("1", 1),
    "session_ttl_s": ("30", 30.0),
    "connect_timeout_s": ("0.5", 0.5),
    "request_timeout_s": ("1", 1.0),
    "max_tries": ("3", 3),
    "result_ttl_s": ("3600", 3600.0),
    "dead_letter_ttl_s": ("3600", 3600.0),
    "stop_timeout_s": ("20", 20),
    "health_interval_s": ("1", 1.0),
    "metrics_host": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - where a scraper of another machine reaches it
    "metrics_port": ("9100", 9100),
    "tracing": ("true", True),
    "tracing_user_ids": ("false", False),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
}

PAIRS = [(side, field.name, field.type) for side in SIDES for field in msgspec.structs.fields(side)]
NUMBERS = [(side, name) for side, name, _ in PAIRS if type(GOOD[name][1]) in (int, float)]


def refusal(side: type[EnvironmentSettings], environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        side.from_env(environ)
    return str(caught.value)


@pytest.mark.parametrize(("side", "name", "_type"), PAIRS)
def test_every_field_is_a_variable(side: type[EnvironmentSettings], name: str, _type: object) -> None:
    """The variable is the field in capitals after `COPYTRADE_`; spaces around the value are ignored."""
    text, value = GOOD[name]

    settings = side.from_env({f"COPYTRADE_{name.upper()}": f" {text} "})

    assert getattr(settings, name) == value
    assert type(getattr(settings, name)) is type(value)


@pytest.mark.parametrize("side", SIDES)
def test_absent_and_empty_variables_keep_their_defaults(side: type[EnvironmentSettings]) -> None:
    """Variables that belong to no field are ignored."""
    empty = {variable_name(name): "" for name in side.__struct_fields__}

    assert side.from_env({}) == side.from_env(empty | {"HOME": "/", "COPYTRADE_OTHER": "1"}) == side()


@pytest.mark.parametrize(("side", "name"), NUMBERS)
@pytest.mark.parametrize("text", ["-1", "many", "1e", "0x10", "1,5", "nan"])
def test_a_number_out_of_bounds_is_rejected_with_one_line_that_names_the_variable(
    side: type[EnvironmentSettings], name: str, text: str
) -> None:
    """The line quotes the value; words, malformed numbers and NaN are among the cases."""
    message = refusal(side, {variable_name(name): text})

    assert message.startswith(f"{variable_name(name)}: ")
    assert "\n" not in message
    assert text in message


MAY_BE_ZERO = ("pace_margin_percent", "max_tries", "redis_wait_s")


@pytest.mark.parametrize(("side", "name"), [(side, name) for side, name in NUMBERS if name not in MAY_BE_ZERO])
def test_nothing_that_must_be_positive_may_be_zero(side: type[EnvironmentSettings], name: str) -> None:
    """Only the pace margin, the bound on tries and the wait for Redis may be zero."""
    assert refusal(side, {variable_name(name): "0"}).startswith(f"{variable_name(name)}: ")


INFINITE = [(side, name) for side, name in NUMBERS if isinstance(GOOD[name][1], float)]


@pytest.mark.parametrize(("side", "name"), INFINITE)
def test_infinity_is_rejected(side: type[EnvironmentSettings], name: str) -> None:
    """Python reads "inf" as a number, but no rate or duration may be infinite."""
    assert refusal(side, {variable_name(name): "inf"}).startswith(f"{variable_name(name)}: ")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SESSION_TTL_S": "0.49"}, "COPYTRADE_SESSION_TTL_S: must be at least 0.5; got 0.49"),
        ({"MAX_TRIES": "-1"}, "COPYTRADE_MAX_TRIES: must be 0 (no bound) or more; got -1"),
        ({"LOG_LEVEL": "LOUD"}, "COPYTRADE_LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR; got 'LOUD'"),
        ({"LOG_FORMAT": "xml"}, "COPYTRADE_LOG_FORMAT: must be console or json; got 'xml'"),
        ({"EGRESS": "north west"}, "COPYTRADE_EGRESS: must be 1 to 128 printable ASCII characters without spaces"),
        (
            {"QUEUE": "arq:queue"},
            "COPYTRADE_QUEUE: must be 1 to 128 printable ASCII characters without spaces, and must not",
        ),
        ({"QUEUE": "copytrade:schedule"}, "COPYTRADE_QUEUE: must be 1 to 128 printable ASCII characters"),
        ({"EXCHANGE_URL": "ftp://x"}, "COPYTRADE_EXCHANGE_URL: must be scheme and host only"),
        ({"EXCHANGE_URL": "http://exchange"}, "COPYTRADE_EXCHANGE_URL: http:// sends API keys"),
        ({"EXCHANGE_INSECURE": "yes"}, "COPYTRADE_EXCHANGE_INSECURE: must be true or false; got 'yes'"),
        ({"REDIS_CONNECTIONS": "1"}, "COPYTRADE_REDIS_CONNECTIONS: must be a whole number from 2 to"),
        ({"METRICS_PORT": "0"}, "COPYTRADE_METRICS_PORT: must be a whole number from 1 to 65,535; got '0'"),
        ({"MAX_JOBS": "1.5"}, "COPYTRADE_MAX_JOBS: must be a whole number from 1 to 1,000,000,000; got '1.5'"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_an_invalid_value_is_reported_with_its_rule(environ: dict[str, str], expected: str) -> None:
    """The line names the variable, and what it may be."""
    message = refusal(WorkerSettings, {variable_name(name): value for name, value in environ.items()})

    assert message.startswith(expected)


def test_the_defaults_agree_with_each_other() -> None:
    """A request may take longer than a connection, and producers and workers use the same Redis."""
    worker, producer = WorkerSettings(), ProducerSettings()

    assert worker.request_timeout_s > worker.connect_timeout_s
    assert (worker.redis_dsn, worker.redis_timeout_s) == (producer.redis_dsn, producer.redis_timeout_s)
    assert (worker.user_rate_per_s, worker.egress_rate_per_s) == (10, 100)


def test_settings_are_immutable() -> None:
    """Assignment raises, so all parts of a process see the same values."""
    with pytest.raises(AttributeError):
        WorkerSettings().session_ttl_s = 1  # type: ignore[misc]


PLAIN = [
    "redis://:hush@cache:6379/0",
    "redis://user:hush@cache/0",
    "rediss://user:hush@cache:6380",
    "sentinel://user:hush@a:26379,b:26379/main/0",
    "unix://user:hush@/run/redis.sock",
]
AWKWARD = [
    "redis://user:hu/hush@cache/0",
    "redis://user:hush:hush@cache/0",
    "redis://cache/0?password=hush",
    "redis://hush@cache/0",
    "redis://:a?hush@cache/0",
    "redis://:a#hush@cache/0",
    "redis://:hush\nhush@cache/0",
    "redis://user:hush",
    "unix:///run/redis.sock?password=a@hush&hush",
    "unix:///run/redis.sock?db=1&password=hush",
]


@pytest.mark.parametrize("dsn", [*PLAIN, *AWKWARD])
def test_a_dsn_is_shown_without_its_password(dsn: str) -> None:
    """Also a malformed one."""
    shown = redact_dsn(dsn)

    assert "hush" not in shown
    assert shown.partition("://")[0] == dsn.partition("://")[0]


def test_a_dsn_without_a_password_is_shown_as_it_is() -> None:
    """There is nothing to mask."""
    assert redact_dsn("redis://cache:6379/0") == "redis://cache:6379/0"


@pytest.mark.parametrize("side", SIDES)
def test_settings_that_are_shown_do_not_show_the_password(side: type[EnvironmentSettings]) -> None:
    """User and password are masked; host and database stay readable, for pretty-printers too."""
    settings = side.from_env({"COPYTRADE_REDIS_DSN": "redis://user:hush@localhost:6379/0"})

    assert "hush" not in f"{settings} {settings!r} {settings.__rich_repr__()}"
    assert "redis_dsn='redis://***@localhost:6379/0'" in repr(settings)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "dsn",
    ["rediss://me:hush@cache/0", "sentinel://:hush@a,b/main?sentinel_password=hush", "unix:///s?password=hush&db=1"],
)
def test_the_representation_of_settings_does_not_show_a_password(side: type[EnvironmentSettings], dsn: str) -> None:
    """Passwords in the DSN's options are masked as well, and other settings stay readable."""
    settings = side.from_env({"COPYTRADE_REDIS_DSN": dsn})

    for shown in (repr(settings), str(settings), f"{settings}"):
        assert "hush" not in shown
        assert "***" in shown
        assert "redis_timeout_s=5.0" in shown


@pytest.mark.parametrize("side", SIDES)
def test_the_dsn_may_be_in_a_file(side: type[EnvironmentSettings], tmp_path: Path) -> None:
    """A line end after it does no harm."""
    path = tmp_path / "dsn"
    path.write_text("redis://worker:secret@cache:6379/0\n", encoding="utf-8")

    settings: Any = side.from_env({"COPYTRADE_REDIS_DSN": f"file:{path}"})

    assert settings.redis_dsn == "redis://worker:secret@cache:6379/0"


@pytest.mark.parametrize("content", [b"", b"secret", b"redis://a\nredis://b\n", b"redis://\xff"])
def test_a_file_without_a_dsn_is_rejected_and_not_shown(content: bytes, tmp_path: Path) -> None:
    """It may be another secret."""
    path = tmp_path / "dsn"
    path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        ProducerSettings.from_env({"COPYTRADE_REDIS_DSN": f"file:{path}"})

    assert str(caught.value) == f"COPYTRADE_REDIS_DSN: {path} must have one line, the DSN"
    assert caught.value.__context__ is None


def test_a_file_that_cannot_be_read_is_named() -> None:
    """With what the system says."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_DSN: /nowhere/dsn cannot be read: No such file"):
        ProducerSettings.from_env({"COPYTRADE_REDIS_DSN": "file:/nowhere/dsn"})

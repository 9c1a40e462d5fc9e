"""The doctors of both sides, against real servers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.exchange import ExchangeDouble, load
from ops.keys import KEYS
from ops.redis_server import embedded_valkey, free_port
from ops.stack import User, write_credentials
from producers import ProducerSettings
from producers.monitor import doctor
from producers.monitor.checks import Check, CheckStatus
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process import doctor as worker_doctor
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE

SETTINGS = ProducerSettings()
OF_REDIS = ["redis", "version", "mode", "eviction", "persistence", "memory", "clock", "scripts"]
OF_QUEUE = ["layout", "workers", "lanes", "pauses", "dead letters", "keys", "unreadable"]


def named(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def not_ok(checks: list[Check]) -> dict[str, CheckStatus]:
    return {check.name: check.status for check in checks if check.status is not CheckStatus.OK}


async def test_a_durable_redis_with_a_worker_passes_every_check(tmp_path: Path) -> None:
    """A production set-up: persistence, a live worker and a change that it applied."""
    with embedded_valkey(data_dir=tmp_path, durable=True) as dsn:
        redis = ArqRedis.from_url(dsn)
        async with rig_on(redis, tmp_path) as rig, rig.working() as worker:
            await (await rig.producer.enqueue(change())).result(timeout=20)
            await worker._presence.announce()

            found = await doctor.diagnose(dsn=dsn)
        await redis.aclose()

    assert not_ok(found) == {}
    assert [check.name for check in found] == [*OF_REDIS, "layout", "workers", "egress default", *OF_QUEUE[2:]]
    assert "valkey" in named(found)["version"].detail


async def test_a_redis_without_persistence_is_reported(redis: ArqRedis) -> None:
    """On a test server every check runs and none fails; missing workers are a warning."""
    found = await doctor.checks(redis, SETTINGS)

    assert [check.name for check in found] == [*OF_REDIS, *OF_QUEUE]
    assert CheckStatus.FAIL not in {check.status for check in found}
    assert "workers" in not_ok(found)


async def test_due_users_without_a_worker_are_a_failure(redis: ArqRedis) -> None:
    """Queued changes would never be sent; without due users it is only a warning."""
    await redis.zadd(KEYS.schedule, {"1": 1})

    assert named(await doctor.checks(redis, SETTINGS))["workers"].status is CheckStatus.FAIL


async def test_an_unreachable_redis_is_one_failure_without_a_traceback_or_a_password() -> None:
    """The other checks need a connection and are skipped."""
    found = await doctor.diagnose(ProducerSettings(redis_dsn=f"redis://me:hush@127.0.0.1:{free_port()}/0"))

    (check,) = found
    assert (check.name, check.status) == ("redis", CheckStatus.FAIL)
    assert "NotConnected" in check.detail
    assert "hush" not in check.detail


@pytest.mark.parametrize("dsn", ["http://localhost", "redis://localhost:port/0", "sentinel://"])
async def test_a_malformed_dsn_is_one_failure_that_names_the_variable(dsn: str) -> None:
    """A wrong scheme, a port that is no number, and a scheme without a host."""
    (check,) = await doctor.diagnose(dsn=dsn)

    assert (check.name, check.status) == ("settings", CheckStatus.FAIL)
    assert "COPYTRADE_REDIS_DSN" in check.detail


async def test_an_invalid_setting_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check names the variable instead of raising an error."""
    monkeypatch.setenv("COPYTRADE_LANE_LIMIT", "lots")

    (check,) = await doctor.diagnose()

    assert check.status is CheckStatus.FAIL
    assert "COPYTRADE_LANE_LIMIT" in check.detail


@asynccontextmanager
async def narrow_user(redis: ArqRedis, dsn: str, *rules: str) -> AsyncIterator[str]:
    """Return the DSN of a Redis user who may do everything but some commands."""
    await redis.execute_command("ACL", "SETUSER", "narrow", "on", ">hush", "~*", "&*", "+@all", *rules)  # type: ignore[no-untyped-call]
    try:
        yield dsn.replace("://", "://narrow:hush@")
    finally:
        await redis.execute_command("ACL", "DELUSER", "narrow")  # type: ignore[no-untyped-call]


async def test_a_redis_user_without_info_gets_a_warning(valkey: ArqRedis, valkey_dsn: str) -> None:
    """The queue works without INFO, so the other checks still run."""
    async with narrow_user(valkey, valkey_dsn, "-info", "-config") as dsn:
        found = await doctor.diagnose(dsn=dsn)

    assert named(found)["version"].status is CheckStatus.WARN
    assert "INFO is refused" in named(found)["version"].detail
    assert [check.name for check in found] == ["redis", "version", "clock", "scripts", *OF_QUEUE]


async def test_a_redis_user_who_may_not_run_scripts_is_a_failure(valkey: ArqRedis, valkey_dsn: str) -> None:
    """Every operation of the queue is a script, so the checks of the queue are skipped."""
    async with narrow_user(valkey, valkey_dsn, "-@scripting") as dsn:
        found = await doctor.diagnose(dsn=dsn)

    assert named(found)["scripts"].status is CheckStatus.FAIL
    assert "workers" not in named(found)


@pytest.mark.parametrize("rules", [("-ping",), ("-time",)])
async def test_a_redis_user_who_may_not_read_the_time_is_a_failure(
    valkey: ArqRedis, valkey_dsn: str, rules: tuple[str, ...]
) -> None:
    """Neither PING nor TIME may be denied; without one of them no other check runs."""
    async with narrow_user(valkey, valkey_dsn, *rules) as dsn:
        found = await doctor.diagnose(dsn=dsn)

    assert [check.status for check in found] == [CheckStatus.FAIL]


async def test_a_wrong_password_is_a_failure_that_does_not_show_it(valkey: ArqRedis, valkey_dsn: str) -> None:
    """Doctor output is pasted into tickets, so even a wrong password is kept out."""
    async with narrow_user(valkey, valkey_dsn) as dsn:
        (check,) = await doctor.diagnose(dsn=dsn.replace("hush", "guess"))

    assert (check.name, check.status) == ("redis", CheckStatus.FAIL)
    assert "guess" not in check.detail


@asynccontextmanager
async def exchange(folder: Path) -> AsyncIterator[tuple[ExchangeDouble, WorkerSettings]]:
    """A double, and settings of a worker that can use it."""
    credentials = write_credentials(folder / "keys.toml", [User("1001"), User("1002")])
    path = Path(credentials.removeprefix("file:"))
    async with ExchangeDouble(load(path)) as double:
        yield double, WorkerSettings(exchange_url=double.url, credentials=credentials)


async def test_a_worker_whose_settings_credentials_and_exchange_are_fine_passes_every_check(tmp_path: Path) -> None:
    """Exactly four checks run: settings, credentials, exchange and its clock."""
    async with exchange(tmp_path) as (_, settings):
        found = await worker_doctor.checks(settings)

    assert [check.name for check in found] == ["worker settings", "credentials", "exchange", "exchange clock"]
    assert not_ok(found) == {}


@pytest.mark.parametrize(("skew_s", "status"), [(10, CheckStatus.WARN), (-60, CheckStatus.FAIL)])
async def test_a_clock_that_differs_from_the_exchange_s_is_reported_with_the_difference(
    tmp_path: Path, skew_s: int, status: CheckStatus
) -> None:
    """Ten seconds ahead are a warning, a minute behind is a failure."""
    async with exchange(tmp_path) as (double, settings):
        double.clock.skew_ms = skew_s * 1000
        check = named(await worker_doctor.checks(settings))["exchange clock"]

    assert check.status is status
    assert f"{skew_s:+d}.0 s" in check.detail


async def test_an_exchange_that_does_not_answer_is_a_failure_and_its_clock_is_not_checked(tmp_path: Path) -> None:
    """One cause gives one failure."""
    async with exchange(tmp_path) as (_, settings):
        pass
    found = await worker_doctor.checks(settings)

    assert not_ok(found) == {"exchange": CheckStatus.FAIL}
    assert len(found) == 3


async def test_a_credentials_file_that_others_can_read_is_a_failure_with_the_remedy(tmp_path: Path) -> None:
    """Mode 644 fails; the message gives the chmod command."""
    async with exchange(tmp_path) as (_, settings):
        os.chmod(settings.credentials.removeprefix("file:"), 0o644)  # noqa: PTH101 - a path's own chmod is frowned on here
        check = named(await worker_doctor.checks(settings))["credentials"]

    assert check.status is CheckStatus.FAIL
    assert "chmod 600" in check.detail


async def test_no_check_shows_a_secret(tmp_path: Path) -> None:
    """Whether the credentials file is valid or has a syntax error next to a secret."""
    async with exchange(tmp_path) as (_, settings):
        path = Path(settings.credentials.removeprefix("file:"))
        sound = await worker_doctor.checks(settings)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write('[users.1001]\napi_key = "key-1001"\nsecret_key = "secret-1001" oops')
        broken = await worker_doctor.checks(settings)

    shown_text = repr([*sound, *broken])
    assert named(broken)["credentials"].status is CheckStatus.FAIL
    assert not any(secret in shown_text for secret in ("key-1001", "secret-1001", "pass-1001"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("COPYTRADE_MAX_JOBS", "0"), ("COPYTRADE_SESSION_TTL_S", "0.1"), ("COPYTRADE_EXCHANGE_URL", "http://exchange")],
)
async def test_worker_settings_that_are_invalid_are_one_failure(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Out of range or malformed, the check names the variable."""
    monkeypatch.setenv("COPYTRADE_CREDENTIALS", "redis:")
    monkeypatch.setenv(name, value)

    (check,) = await worker_doctor.checks()

    assert (check.name, check.status) == ("worker settings", CheckStatus.FAIL)
    assert name in check.detail

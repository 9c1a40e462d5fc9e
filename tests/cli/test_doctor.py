"""`doctor`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from producers.cli import doctor as doctor_module
from producers.monitor.checks import Check, ok, warn
from tests.support.copytrade import FLAGS, Copytrade


def test_doctor_reports_failures_with_remedies_and_status_1(copytrade: Copytrade) -> None:
    """A queued change without a worker is the failure; the table and the JSON have the same checks."""
    copytrade("enqueue", "--user", "1001", *FLAGS)

    header, *rows = [line.split("\t") for line in copytrade("doctor", status=1).stdout.splitlines()]
    document = copytrade.json("doctor", status=1)

    assert header == ["status", "check", "found", "what to do"]
    found = {row[1]: row for row in rows}
    assert found["redis"][0] == "ok"
    assert found["workers"][0] == "fail"
    assert found["workers"][3]
    assert document["status"] == "fail"
    assert {check["name"] for check in document["checks"]} == set(found)


def test_doctor_reports_an_unreachable_redis_without_a_traceback_or_password() -> None:
    """The outage is a failed check with status 1, not an error with status 3."""
    shown = Copytrade("redis://:secret@127.0.0.1:1/0")("doctor", status=1)

    assert "fail\tredis\t" in shown.stdout
    assert "secret" not in shown.output


async def checks_of_others(dsn: str | None) -> list[Check]:
    return [ok("credentials", f"read from {dsn}"), warn("exchange clock", "2 s off", "synchronise")]


async def named_checks(dsn: str | None) -> list[Check]:
    return [ok("named", str(dsn))]


async def broken_checks(dsn: str | None) -> list[Check]:
    raise RuntimeError(f"no \x1b[0mluck with {dsn}")


@pytest.mark.usefixtures("valkey_dsn")
def test_doctor_runs_the_checks_of_other_packages(copytrade: Copytrade, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken one is a failed check and stops no other."""
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{target}", doctor_module.CHECKS_GROUP)
        for name, target in (
            ("worker", "checks_of_others"),
            ("named", "named_checks"),
            ("other", "broken_checks"),
            ("gone", "nothing"),
        )
    )
    monkeypatch.setattr(doctor_module, "entry_points", lambda group: points.select(group=group))

    found = {check["name"]: check for check in copytrade.json("doctor", status=1)["checks"]}

    assert found["credentials"]["status"] == "ok"
    assert found["named"]["detail"] == copytrade.dsn, "they get the DSN of --redis"
    assert found["exchange clock"]["status"] == "warn"
    assert "RuntimeError" in found["other"]["detail"]
    assert found["gone"]["status"] == "fail"

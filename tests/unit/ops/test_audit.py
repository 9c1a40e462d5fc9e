"""The audit of the dependencies: what is wrong fails, and what was not looked at is not called right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from ops import audit
from ops.audit import lock_violations, read_report

ROOT = Path(__file__).parents[3]
HASH = "--hash=sha256:" + "0a" * 32
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
[project]
name = "copytrade-settings"
dependencies = ["arq>=0.28,<0.29"]
[project.optional-dependencies]
dev = ["copytrade-settings[worker]", "Fake_Redis[lua]>=2"]
"""
LOCK = f"""
arq==0.28.0 \\
    {HASH} \\
    {HASH}
fake-redis==2.0 ; python_version < '3.12' \\
    {HASH}
setuptools==84.0 {HASH}
"""

SOUND: dict[str, object] = {"name": "arq", "version": "0.28.0", "vulns": []}
SKIPPED: dict[str, object] = {
    "name": "redis",
    "skip_reason": "Dependency not found and could not be audited: redis (5.3.1)",
}
HURT: dict[str, object] = {
    "name": "aiohttp",
    "version": "3.0",
    "vulns": [{"id": "CVE-1", "fix_versions": ["3.1", "4.0"]}],
}


def report(*packages: dict[str, object]) -> str:
    """Return a report as pip-audit prints it."""
    return msgspec.json.encode({"dependencies": packages, "fixes": []}).decode()


def test_a_vulnerability_is_reported_with_its_fixed_versions() -> None:
    """One line each."""
    verdict = read_report(report(SOUND, HURT), "Found 1 known vulnerability in 1 package")

    assert verdict.vulnerable == ["aiohttp 3.0: CVE-1, fixed in 3.1, 4.0"]
    assert (verdict.audited, verdict.unaudited) == (2, "")


def test_packages_that_were_skipped_are_not_audited() -> None:
    """Pip-audit ends with success and "No known vulnerabilities found" then."""
    verdict = read_report(report(SOUND, SKIPPED), "No known vulnerabilities found")

    assert (verdict.vulnerable, verdict.audited) == ([], 1)
    assert verdict.unaudited == f"1 of 2 packages: {SKIPPED['skip_reason']}"


def test_a_vulnerability_counts_although_others_were_skipped() -> None:
    """Both are reported."""
    verdict = read_report(report(HURT, SKIPPED), "")

    assert len(verdict.vulnerable) == 1
    assert verdict.unaudited


@pytest.mark.parametrize("output", ["", "not JSON", "[]", '{"dependencies": 1}', '{"dependencies": []}'])
def test_no_report_means_that_nothing_was_audited(output: str) -> None:
    """The service may be away, or answer something else."""
    verdict = read_report(output, "Traceback ...\nConnectionError: no route\n")

    assert (verdict.vulnerable, verdict.audited) == ([], 0)
    assert verdict.unaudited


def test_the_reason_for_no_report_is_told() -> None:
    """The last line of what it said."""
    assert read_report("", "Traceback ...\nConnectionError: no route\n").unaudited.endswith("ConnectionError: no route")


def test_a_sound_lock_has_no_faults() -> None:
    """Pinned, with hashes, of every direct dependency."""
    assert lock_violations(LOCK, PROJECT) == []


def test_this_projects_lock_is_sound() -> None:
    """It needs no network to know that."""
    lock, project = (ROOT / path for path in ("ops/test.lock", "pyproject.toml"))

    assert lock_violations(lock.read_text("utf-8"), project.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "redis==5.3.1",
        "redis>=5 " + HASH,
        "redis " + HASH,
        "redis==5.3.1 --hash=md5:" + "0a" * 16,
        "redis==5.3.1 --hash=sha256:0a",
        "--index-url http://localhost/simple",
        "--extra-index-url=http://localhost/simple",
        "--find-links wheels",
        "-e .",
        "-r more.txt",
        f"redis @ http://localhost/redis.whl {HASH}",
        f"http://localhost/redis.whl {HASH}",
        f"redis==5.3.1 --index-url http://localhost/simple {HASH}",
    ],
)
def test_a_line_that_pins_nothing_or_names_another_source_is_a_violation(line: str) -> None:
    """Such a line can only be written by hand."""
    (fault,) = lock_violations(f"{LOCK}{line}\n", PROJECT)

    assert "is not a pinned requirement with sha256 hashes" in fault


@pytest.mark.parametrize("name", ["arq", "fake-redis", "setuptools"])
def test_a_dependency_that_is_not_locked_is_a_violation(name: str) -> None:
    """Of the project, of an extra, or of the build."""
    lock = LOCK.replace(f"{name}==", "other==")

    assert lock_violations(lock, PROJECT) == [f"{name} is in pyproject.toml but not locked"]


Answer = subprocess.CompletedProcess[str] | subprocess.TimeoutExpired


def answer(status: int, output: str = "", errors: str = "") -> Answer:
    """Return the end of a run of pip-audit."""
    return subprocess.CompletedProcess([], status, output, errors)


def run(monkeypatch: pytest.MonkeyPatch, ended: Answer) -> int:
    """Return the exit status of the whole check, for one end of pip-audit."""

    def run_pip_audit(*_: object, **__: object) -> Answer:
        if isinstance(ended, subprocess.TimeoutExpired):
            raise ended
        return ended

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "run", run_pip_audit)
    return audit.main()


def test_a_vulnerability_fails_the_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported on standard error."""
    assert run(monkeypatch, answer(1, report(SOUND, HURT))) == 1
    assert "vulnerable: aiohttp 3.0: CVE-1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ended",
    [answer(0, report(SKIPPED)), answer(1, errors="no route"), subprocess.TimeoutExpired([], 30.0)],
    ids=["skipped", "broken", "late"],
)
def test_a_service_that_cannot_be_reached_is_reported_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ended: Answer
) -> None:
    """A check on a machine without that service goes on, and says what it did not check."""
    assert run(monkeypatch, ended) == 0

    printed = capsys.readouterr()
    assert "NOT AUDITED" in printed.err
    assert "none audited" in printed.out

"""`python -m ops.audit`: are the locked requirements what they must be, and is a vulnerability known in one of them?

The first question is answered from the files alone. The second needs a vulnerability service on the network: what it
could not answer is reported as not audited, never as passed, and does not fail; a vulnerability does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

LOCK = Path("ops/requirements.lock")
PROJECT = Path("pyproject.toml")
WITHIN_S = 30.0
AUDIT = [
    *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes"),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "10"),
]

_requirement = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==[^\s;]+(?: ;[^#@]+?)?(?: --hash=sha256:[0-9a-f]{64})+"
)
_name = re.compile(r"[A-Za-z0-9._-]+")


class _Package(msgspec.Struct):
    """One package of pip-audit's report."""

    name: str
    version: str = ""
    skip_reason: str | None = None
    vulns: list[dict[str, Any]] = []


class _Report(msgspec.Struct):
    dependencies: list[_Package]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an audit.

    Attributes:
        vulnerable: a line for each known vulnerability.
        audited: how many packages the service knows of no vulnerability in, or knows one.
        unaudited: why nothing is known of the others; "" if there are none.
    """

    vulnerable: list[str]
    audited: int
    unaudited: str


def judge(output: str, errors: str) -> Verdict:
    """What a run of pip-audit says.

    Args:
        output: its standard output, the JSON report; empty if it could not reach the service.
        errors: its standard error.
    """
    try:
        packages = msgspec.json.decode(output, type=_Report).dependencies
    except msgspec.DecodeError:
        lines = errors.strip().splitlines() or ["it said nothing"]
        return Verdict([], 0, f"pip-audit made no report: {lines[-1][:300]}")
    skipped = [package for package in packages if package.skip_reason is not None]
    vulnerable = [
        f"{package.name} {package.version}: {found.get('id', 'unnamed')}, "
        f"mended in {', '.join(found.get('fix_versions', [])) or 'no version yet'}"
        for package in packages
        for found in package.vulns
    ]
    unaudited = f"{len(skipped)} of {len(packages)} packages: {skipped[0].skip_reason}" if skipped else ""
    return Verdict(vulnerable, len(packages) - len(skipped), unaudited or ("" if packages else "the report is empty"))


def lock_faults(lock: str, project: str) -> list[str]:
    """What is wrong with the lock: a line without hashes, another source, a dependency that is not locked.

    Args:
        lock: its text.
        project: the text of pyproject.toml.
    """
    lines = [line.strip() for line in lock.replace("\\\n", " ").splitlines()]
    entries = [" ".join(line.split()) for line in lines if line and not line.startswith("#")]
    matches = [(entry, _requirement.fullmatch(entry)) for entry in entries]
    faults = [f"{entry[:80]!r} is not a pinned requirement with sha256 hashes" for entry, match in matches if not match]
    locked = {_normal(match["name"]) for _, match in matches if match}
    return faults + [f"{name} is in {PROJECT} but not locked" for name in sorted(_direct(project) - locked)]


def _direct(project: str) -> set[str]:
    """The names of all that the project asks for, but itself."""
    table = tomllib.loads(project)
    asked = [table["project"].get("dependencies", []), *table["project"].get("optional-dependencies", {}).values()]
    asked.append(table.get("build-system", {}).get("requires", []))
    names = {_normal(match[0]) for group in asked for text in group if (match := _name.match(text))}
    return names - {_normal(table["project"]["name"])}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Checks the lock, then asks the service; returns the exit status."""
    if faults := lock_faults(LOCK.read_text("utf-8"), PROJECT.read_text("utf-8")):
        print(f"{LOCK}: " + f"\n{LOCK}: ".join(faults), file=sys.stderr)
        return 1
    try:
        run = subprocess.run(AUDIT, capture_output=True, text=True, timeout=WITHIN_S, check=False)  # noqa: S603
        verdict = judge(run.stdout, run.stderr)
    except subprocess.TimeoutExpired:
        verdict = Verdict([], 0, f"the vulnerability service did not answer within {WITHIN_S:g} s")
    for line in verdict.vulnerable:
        print(f"vulnerable: {line}", file=sys.stderr)
    if verdict.unaudited:
        print(f"NOT AUDITED for known vulnerabilities: {verdict.unaudited}", file=sys.stderr)
    audited = (
        f"{len(verdict.vulnerable)} vulnerabilities in {verdict.audited} packages"
        if verdict.audited
        else "none audited"
    )
    print(f"{LOCK}: all pinned with hashes; {audited}")
    return int(bool(verdict.vulnerable))


if __name__ == "__main__":
    sys.exit(main())

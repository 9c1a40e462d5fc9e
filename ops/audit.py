"""`python -m ops.audit`: check the locked requirements, and look for known vulnerabilities in them.

The lock is checked without a network. Vulnerabilities are looked up by pip-audit at a service on the network. Packages
that it cannot look up are reported as not audited and do not fail the check; a vulnerability does.
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

LOCK = Path("ops/test.lock")
PROJECT = Path("pyproject.toml")
TIMEOUT_S = 30.0
PIP_AUDIT = [
    *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes"),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "10"),
]

_requirement = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==[^\s;]+(?: ;[^#@]+?)?(?: --hash=sha256:[0-9a-f]{64})+"
)
_name = re.compile(r"[A-Za-z0-9._-]+")


class _Package(msgspec.Struct):
    name: str
    version: str = ""
    skip_reason: str | None = None
    vulns: list[dict[str, Any]] = []


class _Report(msgspec.Struct):
    """The report of pip-audit, as far as it is used."""

    dependencies: list[_Package]


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

    Attributes:
        vulnerable: one line for each known vulnerability.
        audited: the number of packages that the service has data on.
        unaudited: why the other packages were not audited; "" if there are none.
    """

    vulnerable: list[str]
    audited: int
    unaudited: str


def read_report(output: str, errors: str) -> Audit:
    """Return what a run of pip-audit found.

    Args:
        output: its standard output, a JSON report; empty if the service could not be reached.
        errors: its standard error.
    """
    try:
        packages = msgspec.json.decode(output, type=_Report).dependencies
    except msgspec.DecodeError:
        lines = errors.strip().splitlines() or ["no output"]
        return Audit([], 0, f"pip-audit made no report: {lines[-1][:300]}")
    skipped = [package for package in packages if package.skip_reason is not None]
    vulnerable = [
        f"{package.name} {package.version}: {found.get('id', 'unnamed')}, "
        f"fixed in {', '.join(found.get('fix_versions', [])) or 'no version yet'}"
        for package in packages
        for found in package.vulns
    ]
    unaudited = f"{len(skipped)} of {len(packages)} packages: {skipped[0].skip_reason}" if skipped else ""
    return Audit(vulnerable, len(packages) - len(skipped), unaudited or ("" if packages else "the report is empty"))


def lock_violations(lock: str, project: str) -> list[str]:
    """Return what is wrong with the lock: a line without hashes, another source, a dependency that is missing.

    Args:
        lock: the text of the lock.
        project: the text of pyproject.toml.
    """
    lines = [" ".join(line.split()) for line in lock.replace("\\\n", " ").splitlines()]
    entries = [line for line in lines if line and not line.startswith("#")]
    matches = {entry: _requirement.fullmatch(entry) for entry in entries}
    malformed = [
        f"{entry[:80]!r} is not a pinned requirement with sha256 hashes" for entry in entries if not matches[entry]
    ]
    locked = {_normalized(match["name"]) for match in matches.values() if match}
    return malformed + [f"{name} is in {PROJECT} but not locked" for name in sorted(_dependencies(project) - locked)]


def _dependencies(project: str) -> set[str]:
    """Return the names of all direct dependencies, without the project itself."""
    table = tomllib.loads(project)
    groups = [table["project"].get("dependencies", []), *table["project"].get("optional-dependencies", {}).values()]
    groups.append(table.get("build-system", {}).get("requires", []))
    names = {_normalized(match[0]) for group in groups for text in group if (match := _name.match(text))}
    return names - {_normalized(table["project"]["name"])}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Check the lock, then ask the service, and return the exit status."""
    if violations := lock_violations(LOCK.read_text("utf-8"), PROJECT.read_text("utf-8")):
        print(f"{LOCK}: " + f"\n{LOCK}: ".join(violations), file=sys.stderr)
        return 1
    try:
        run = subprocess.run(PIP_AUDIT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
        audit = read_report(run.stdout, run.stderr)
    except subprocess.TimeoutExpired:
        audit = Audit([], 0, f"the vulnerability service did not answer within {TIMEOUT_S:g} s")
    for line in audit.vulnerable:
        print(f"vulnerable: {line}", file=sys.stderr)
    if audit.unaudited:
        print(f"NOT AUDITED for known vulnerabilities: {audit.unaudited}", file=sys.stderr)
    audited = (
        f"{len(audit.vulnerable)} vulnerabilities in {audit.audited} packages" if audit.audited else "none audited"
    )
    print(f"{LOCK}: all pinned with hashes; {audited}")
    return int(bool(audit.vulnerable))


if __name__ == "__main__":
    sys.exit(main())

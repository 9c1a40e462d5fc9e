"""The packages that an installation with all extras for production has, by their metadata in this environment."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
NOT_FOR_PRODUCTION = {"demo", "dev"}
"""Extras whose packages only demo, benchmarks and tests need."""

PLATFORM = {"python_version": "3.11", "python_full_version": "3.11.14", "sys_platform": "linux"}
"""For which the packages are listed, so that the list is the same wherever it is made."""

UNNAMED = "not stated"
CLASSIFIER = "License :: OSI Approved :: "


@dataclass(frozen=True, slots=True)
class Dependency:
    """A package.

    Attributes:
        name: its name, normalized.
        version: the version that is installed, which is that of the lock.
        licence: its licence: an SPDX expression if it gives one, else what it says.
        extras: the extras that need it, without those of `core`; `core` for what every installation has.
        needs: the names of the packages that it needs here.
    """

    name: str
    version: str
    licence: str
    extras: frozenset[str]
    needs: frozenset[str]


def read_requirements() -> dict[str, list[Requirement]]:
    """Return what the project requires, by extra; `core` for what every installation has."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = {name: of for name, of in project["optional-dependencies"].items() if name not in NOT_FOR_PRODUCTION}
    return {name: list(map(Requirement, of)) for name, of in {"core": project["dependencies"], **extras}.items()}


def list_dependencies(requirements: dict[str, list[Requirement]]) -> list[Dependency]:
    """Return the packages that requirements need on this platform, by name.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed here.
    """
    needs: dict[str, set[str]] = {}
    needed_by: dict[str, set[str]] = {}
    for extra, of_extra in requirements.items():
        waiting = [requirement for requirement in of_extra if _applies(requirement, set())]
        seen: set[tuple[str, frozenset[str]]] = set()
        while waiting:
            requirement = waiting.pop()
            name = canonicalize_name(requirement.name)
            if (name, frozenset(requirement.extras)) in seen:
                continue
            seen.add((name, frozenset(requirement.extras)))
            needed_by.setdefault(name, set()).add(extra)
            further = [
                each
                for each in map(Requirement, distribution(name).requires or [])
                if _applies(each, requirement.extras)
            ]
            needs.setdefault(name, set()).update(canonicalize_name(each.name) for each in further)
            waiting += further
    return [
        Dependency(
            name,
            distribution(name).version,
            licence_of(distribution(name)),
            frozenset({"core"} if "core" in needed_by[name] else needed_by[name]),
            frozenset(needs[name]),
        )
        for name in sorted(needs)
    ]


def licence_of(package: Distribution) -> str:
    """Return what a package's metadata says of its licence."""
    fields = {name: package.metadata.get_all(name) or [] for name in ("License-Expression", "License", "Classifier")}
    classifiers = [text.removeprefix(CLASSIFIER) for text in fields["Classifier"] if text.startswith(CLASSIFIER)]
    stated = [text.strip() for text in (*fields["License-Expression"], *fields["License"]) if text.strip()]
    if stated and "\n" not in stated[0]:
        return str(stated[0])
    return " or ".join(classifiers) or UNNAMED


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    """Return whether a requirement applies on this platform, for a package with some extras."""
    return requirement.marker is None or any(
        requirement.marker.evaluate({**PLATFORM, "extra": extra}) for extra in {"", *extras}
    )

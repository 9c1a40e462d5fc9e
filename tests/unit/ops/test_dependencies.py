"""The list of licences and the bill of materials: what a production installation has."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ops import licences
from ops.dependencies import PROJECT, list_dependencies, read_requirements
from ops.sbom import bill_of_materials
from tests.support.pages import table

NOT_HERE = {"async-timeout", "colorama", "tzdata"}
"""Packages of other platforms and Pythons."""

OPS = Path(__file__).parents[3] / "ops"


def test_the_page_of_licences_is_current() -> None:
    """After a change of the dependencies: `python -m ops.licences > ops/LICENCES.md`."""
    page = licences.page(list_dependencies(read_requirements()))

    assert page == (OPS / "LICENCES.md").read_text(encoding="utf-8")


def test_what_is_listed_is_what_is_locked() -> None:
    """In the same versions; the lock has a few more, for other platforms."""
    lock = dict(
        re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (OPS / "deploy.lock").read_text(encoding="utf-8"), re.MULTILINE)
    )
    listed = {each.name: each.version for each in list_dependencies(read_requirements())}

    assert listed.items() <= lock.items()
    assert lock.keys() - listed.keys() <= NOT_HERE


def test_the_bill_of_materials_is_valid_and_has_every_package_and_script() -> None:
    """By the schema of CycloneDX 1.6. Each package says what it needs."""
    dependencies = list_dependencies(read_requirements())

    text = bill_of_materials(dependencies)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    urls = {component["purl"] for component in bill["components"]}
    assert {f"pkg:pypi/{each.name}@{each.version}" for each in dependencies} < urls
    assert {url.partition("@")[0] for url in urls if url.startswith("pkg:npm/")} == {
        "pkg:npm/htmx.org",
        "pkg:npm/uplot",
    }
    needs = {each["ref"].partition("@")[0]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert any(url.startswith("pkg:pypi/redis@") for url in needs["pkg:pypi/arq"])
    assert any(url.startswith("pkg:pypi/arq@") for url in needs["pkg:pypi/copytrade-settings"])


def test_the_page_of_packaging_has_every_extra() -> None:
    """With what it adds."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]

    rows = table("ops/PACKAGING.md", "| extra | for whom | what it adds |")
    assert {extra for extra, *_ in rows} == set(project["optional-dependencies"])

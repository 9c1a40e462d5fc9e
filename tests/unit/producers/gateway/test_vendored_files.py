"""The files of others that the console serves are those that were published, and each is listed."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from producers.gateway.console import assets

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "producers" / "gateway" / "console" / "static" / "vendor"
MANIFEST = FOLDER / "manifest.toml"
LISTED = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["file"]
PERMISSIVE = {"0BSD", "MIT"}


def test_the_manifest_lists_every_file() -> None:
    """And no file that is not there."""
    found = {path.name for path in FOLDER.iterdir()} - {MANIFEST.name}

    assert sorted(entry["name"] for entry in LISTED) == sorted(found)


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["name"])
def test_a_file_is_the_one_that_was_published(entry: dict[str, str]) -> None:
    """By its hash; with where it is from, and a licence that permits to pass it on, whose text is beside it."""
    content = (FOLDER / entry["name"]).read_bytes()
    licences = [each["name"] for each in LISTED if each["package"] == entry["package"] and each["path"] == "LICENSE"]

    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert entry["path"]
    assert entry["version"]
    assert entry["license"] in PERMISSIVE
    assert len(licences) == 1


def test_only_files_of_others_are_exempt_from_the_spelling_check() -> None:
    """Of all that lies in the packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    exempt = project["tool"]["codespell"]["skip"].split(",")

    assert [path for path in exempt if path.startswith(("./producers", "./worker", "./ops"))] == [
        "./" + str(FOLDER.relative_to(ROOT))
    ]


def test_pages_load_their_styles_and_scripts_from_this_server_alone() -> None:
    """Every script and style of others that is listed is served."""
    served = {name.removeprefix("vendor-") for name in assets.FILES if name.startswith("vendor-")}

    assert served == {entry["name"] for entry in LISTED if entry["name"].endswith((".js", ".css"))}

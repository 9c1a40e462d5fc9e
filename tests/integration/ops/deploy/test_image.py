"""The image's Dockerfile, and what is sent to its builder."""

from __future__ import annotations

import re
import subprocess

from tests.support.deploy import DEPLOY, ROOT, tool


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, with their arguments in one line."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, arguments) for name, _, arguments in (line.partition(" ") for line in lines)]


def copied() -> set[str]:
    """Return what is copied from the top of the repository."""
    own = [arguments.split()[:-1] for name, arguments in instructions() if name == "COPY" and "--from" not in arguments]
    return {source.rstrip("/") for sources in own for source in sources}


def test_hadolint_finds_nothing() -> None:
    """With all its rules, and ShellCheck's."""
    run = subprocess.run([tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)  # noqa: S603

    assert run.stdout == ""
    assert run.returncode == 0


def test_the_builder_is_sent_what_is_copied_and_nothing_else() -> None:
    """Neither credentials nor the history of the repository get near the image."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line]
    rules = [line for line in lines if not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied()
    assert all((ROOT / source).exists() for source in copied())


def test_the_image_runs_as_a_user_that_is_not_root() -> None:
    """By number, in the stage that is kept."""
    kept = instructions()[max(index for index, (name, _) in enumerate(instructions()) if name == "FROM") :]

    assert [arguments for name, arguments in kept if name == "USER"] == ["10001:10001"]


def test_every_package_is_installed_by_its_hash() -> None:
    """What is installed without hashes is this project itself, without the network."""
    commands = [command.strip() for name, run in instructions() if name == "RUN" for command in run.split("&&")]
    installing = [command for command in commands if re.search(r"pip .*\b(install|wheel)\b", command)]

    assert len(installing) == 4
    assert all("--require-hashes" in command or "--no-index" in command for command in installing)


def test_the_wheel_is_not_built_beside_another_folder_named_build() -> None:
    """Setuptools puts all of `build/lib` into the wheel, such as an environment that was made there."""
    run = " ".join(arguments for name, arguments in instructions() if name == "RUN")

    assert re.findall(r"-m venv (?:--without-pip )?(\S+)", run) == ["/opt/copytrade", "/opt/build"]

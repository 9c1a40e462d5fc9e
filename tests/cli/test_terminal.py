"""What people see on a terminal, beside what a pipe gets."""

from __future__ import annotations

import pytest

from producers import Outcome, Producer
from tests.support.changes import change
from tests.support.copytrade import Copytrade


@pytest.fixture
def _on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 120 columns without colours, as rich sees it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "120")


def fan_out(copytrade: Copytrade) -> None:
    async def work(producer: Producer) -> None:
        await producer.fan_out([change("1001"), change("1002")], batch_id="july")

    copytrade.ask(work)


def test_in_a_pipe_details_and_tables_are_cells_with_tabs(copytrade: Copytrade) -> None:
    """Without padding, and with the header also above no rows."""
    fan_out(copytrade)
    copytrade.enqueue("1003")

    assert copytrade("status", "o1003").stdout.startswith(
        "state\tqueued\nbefore it\t0 changes of its lane\nwaits\tno worker is alive\ndeadline\t"
    )
    assert copytrade("batch", "show", "july").stdout.startswith("batch\tjuly\nstate\trunning\n")
    assert "\njuly\trunning\tbulk\t2\t0\t-\t" in copytrade("batch", "list").stdout
    assert copytrade("dead", "list").stdout == "user\ttrader\toutcome\tcode\tmessage\tended\tjob\n"


@pytest.mark.usefixtures("_on_a_terminal")
def test_on_a_terminal_details_and_tables_are_aligned(copytrade: Copytrade) -> None:
    """Under a header of their own, without tabs."""
    fan_out(copytrade)
    copytrade.enqueue("1003")

    shown = "".join(
        copytrade(*words.split()).stdout for words in ("status o1003", "batch show july", "batch list", "top --once")
    )

    assert "\t" not in shown
    assert "state      queued" in shown
    assert f"{'batch':18}july" in shown  # as wide as "time left, about"
    for words in (
        "july running bulk 2 0 -",
        "in flight 0 lanes",
        "interactive 1 user, 1 due",
        "bulk 2 users, 2 due",
        "1003 t1 interactive 1 due",
    ):
        assert words in " ".join(shown.split())


@pytest.mark.usefixtures("_on_a_terminal")
def test_on_a_terminal_a_list_of_nothing_says_so(copytrade: Copytrade) -> None:
    """On standard error, so that standard output has only results."""
    shown = copytrade("dead", "list")

    assert (shown.stdout, shown.stderr) == ("", "there are no dead letters\n")


def test_the_state_of_a_change_that_has_ended_comes_with_its_result(copytrade: Copytrade) -> None:
    """As `result` shows it."""
    copytrade.enqueue("1001")
    copytrade.end_all()

    shown = copytrade("status", "o1001").stdout

    assert shown.startswith("state\tdone\njob\to1001\n")
    assert "\noutcome\tapplied\n" in shown


def test_a_batch_of_failures_that_is_waited_for_ends_at_its_time_out(copytrade: Copytrade) -> None:
    """The new batch goes on, and the message says how to follow it."""
    fan_out(copytrade)
    copytrade.end_all({"1001": Outcome.REJECTED})

    said = copytrade.error("batch", "retry-failed", "july", "--wait", "--timeout", "0", status=5)

    assert "(0 of 1 have ended); it continues, follow it with: copytrade batch watch " in said


@pytest.mark.parametrize("text", ["many", "1.5", "0", "10001"])
def test_a_limit_that_is_no_whole_number_is_named(copytrade: Copytrade, text: str) -> None:
    """In words, without the names of Python's types."""
    said = copytrade.error("batch", "list", "--limit", text, status=2)

    assert f"'--limit': must be a whole number from 1 to 10000; got '{text}'" in said


def test_the_version_is_one_line(copytrade: Copytrade) -> None:
    """The name of the command, and the number."""
    assert copytrade("--version").stdout.startswith("copytrade ")

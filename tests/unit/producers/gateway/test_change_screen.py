"""What the console's screen of a change makes of its attempts and settings."""

from __future__ import annotations

from producers import JobDetails, JobState, JobStatus, SettingsChange
from producers.contract.attempt_history import MAX_ATTEMPTS
from producers.gateway.console.change import VERDICTS, WAITS, attempts_of, settings_of
from tests.support.changes import attempt, setting
from worker.attempt.retry import AMBIGUOUS
from worker.exchange.replies import ReplyClass


def details(*verdicts: str) -> JobDetails:
    """Return a change that was accepted at 1 s, and whose attempts were made every 10 s from then on."""
    attempts = [attempt(verdict, 11_000 + 10_000 * number) for number, verdict in enumerate(verdicts)]
    return JobDetails("j", JobStatus(JobState.QUEUED), attempts=attempts, enqueued_at_ms=1_000)


def test_a_change_waits_before_each_attempt_since_the_one_before_it() -> None:
    """Before the first, since it was accepted. An attempt takes 20 ms."""
    found = attempts_of(details("throttled", "transient", "success"))

    assert [(sent.waited_s, sent.after) for sent in found] == [(10, None), (9.98, "throttled"), (9.98, "transient")]


def test_how_long_it_waited_is_not_known_if_earlier_attempts_are_not_kept() -> None:
    """Only the last ones are."""
    first, second, *_ = attempts_of(details(*["transient"] * MAX_ATTEMPTS))

    assert (first.waited_s, second.waited_s) == (None, 9.98)


def test_settings_are_shown_with_the_fields_that_one_of_them_has() -> None:
    """By the exchange's names."""
    settings = [setting(max_hold_size=None), setting(max_hold_size=None, symbol="ETHUSDT", stop_loss_ratio="30")]
    change = SettingsChange(user_id="1", trader_id="t", settings=settings)

    columns, rows = settings_of(JobDetails("j", JobStatus(JobState.QUEUED), change=change))

    assert columns[0] == "symbol"
    assert "maxHoldSize" not in columns
    assert [row[columns.index("stopLossRatio")] for row in rows] == ["-", "30"]


def test_every_verdict_and_wait_has_words() -> None:
    """A verdict that fails makes the next attempt wait; one that ends the change does not."""
    assert set(VERDICTS) == {*map(str, ReplyClass), AMBIGUOUS, "failed"}
    assert set(WAITS) == set(VERDICTS) - {"success", "permanent"}

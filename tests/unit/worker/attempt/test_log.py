"""The log lines of attempts: whichever change somebody follows, it is in one of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from producers import Outcome
from producers.logs import ATTRIBUTE
from tests.support.changes import result
from tests.support.claims import claim
from worker.attempt.log import log_attempt, log_sending
from worker.logs import Event
from worker.queue.claims import Finish, Requeue, Settled, Stored

GROUP = claim(job_id="july..1", lost_deliveries=1, coalescable=(("2", Stored(None)), ("3", Stored(None))))


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    return [(record.levelname, *getattr(record, ATTRIBUTE)) for record in caplog.records]


def test_each_change_of_a_request_has_a_line_of_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A warning for those that somebody has to look at."""
    outcomes = {"july..1": Outcome.SUPERSEDED, "2": Outcome.APPLIED, "3": Outcome.REJECTED}
    finish = Finish(claim=GROUP, results=tuple(result(job_id, outcome) for job_id, outcome in outcomes.items()))

    with caplog.at_level(logging.DEBUG):
        log_attempt(finish, Settled(fenced=False, finished=3), "default")

    told = [(level, event, fields["job"], fields["outcome"]) for level, event, fields in lines(caplog)]
    assert told == [
        ("DEBUG", Event.FINISHED, "july..1", "superseded"),
        ("DEBUG", Event.FINISHED, "2", "applied"),
        ("WARNING", Event.FINISHED, "3", "rejected"),
    ]


def test_an_attempt_that_ended_nothing_names_all_changes_that_were_claimed(caplog: pytest.LogCaptureFixture) -> None:
    """With the batch, and the workers that died before."""
    with caplog.at_level(logging.DEBUG):
        log_sending(GROUP, "default")
        log_attempt(Requeue(claim=GROUP, history=b"", reason="a 500"), Settled(fenced=False, finished=0), "default")

    for _, _, fields in lines(caplog):
        assert (fields["job"], fields["batch"], fields["claimed_with"], fields["lost_deliveries"]) == (
            "july..1",
            "july",
            "2 3",
            1,
        )
    assert [event for _, event, _ in lines(caplog)] == [Event.SENDING, Event.REQUEUED]


def test_a_repeated_settlement_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The lane need not be lost: probably the first settlement was written, and only Redis's reply was lost."""
    with caplog.at_level(logging.DEBUG):
        finish = Finish(claim=GROUP, results=(result("2"),))
        log_attempt(finish, Settled(fenced=True, finished=0, is_repeated=True), "default")
        log_attempt(finish, Settled(fenced=True, finished=0), "default")

    told = [(level, event) for level, event, _ in lines(caplog)]
    assert told == [("INFO", Event.SETTLED_BEFORE), ("WARNING", Event.FENCED)]

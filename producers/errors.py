"""The errors a producer meets.

ProducerError
├── InvalidChange        the change breaks a rule of the endpoint; nothing was written
├── InvalidId            an ID that cannot be one
├── InvalidLimit         a rate that cannot be one; nothing was changed
├── InvalidCursor        not a position in this batch's results
├── SettingsError        an environment variable or DSN is wrong
├── LaneFull             the lane holds as many changes as it may; nothing was written
├── BatchConflict        the batch exists with other content, is sealed or cancelled; what differs was not added
├── BatchRefused         all or nothing was asked for, and something was refused; nothing was written
├── QueueUnavailable     Redis did not answer; safe to repeat with the same job ID
├── ResultTimeout        the change or batch has not ended yet; it stays queued
├── JobNotFound          no such change, or its result has expired
├── BatchNotFound        no such batch, or it has expired
└── DeadLetterNotFound   no such dead letter, or it has expired
"""

from __future__ import annotations

SHOWN_CHARS = 80


class ProducerError(Exception):
    """Base of all errors of this package."""


class InvalidChange(ProducerError):
    """A change that breaks a rule.

    Attributes:
        field: where, in wire names, such as "settings[2].stopLossRatio".
        rule: what is asked of the field.
        value: what was given.
    """

    def __init__(self, field: str, rule: str, value: object) -> None:
        super().__init__(f"{field}: {rule}; got {abbreviated(value)}")
        self.field = field
        self.rule = rule
        self.value = value


class InvalidId(ProducerError):
    """A job ID that is empty, too long, or not printable ASCII."""


class InvalidLimit(ProducerError):
    """A rate that is not a number of requests a second within bounds; nothing was changed."""


class InvalidCursor(ProducerError):
    """A cursor that is not a position in the results of this batch."""


class SettingsError(ProducerError):
    """A setting that cannot be used; the message names the variable, what it must be, and what it was."""


class LaneFull(ProducerError):
    """The lane holds as many changes as it may; try again when it has drained."""


class BatchConflict(ProducerError):
    """The batch cannot take this: begun with other content, sealed, or cancelled. What differs was not added."""


class QueueUnavailable(ProducerError):
    """Redis did not answer. Whether the change was accepted is unknown: repeat with the same job ID."""


class ResultTimeout(ProducerError, TimeoutError):
    """The change, or the batch, has not ended within the time given. It stays queued; ask again later."""


class JobNotFound(ProducerError, LookupError):
    """There is no such change, or its result has expired."""


class BatchNotFound(ProducerError, LookupError):
    """There is no such batch, or it has expired."""


class DeadLetterNotFound(ProducerError, LookupError):
    """There is no such dead letter, or it has expired."""


def abbreviated(value: object) -> str:
    """A value for an error message: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}... ({len(text)} characters)"

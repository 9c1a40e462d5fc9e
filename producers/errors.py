"""Every error that this package raises.

ProducerError
├── InvalidChange        a change breaks a rule of the exchange's endpoint; it was not written
├── InvalidArgument      an argument of a call is out of bounds; nothing was written
│   ├── InvalidId        an ID is not valid, or in use for another arq app's job; nothing was written
│   ├── InvalidLimit     a user's own rate is out of bounds; nothing was written
│   └── InvalidCursor    not a position in the results of this batch
├── SettingsError        an environment variable or a DSN cannot be used; a call with such a DSN wrote nothing
├── LaneFull             the lane is at its limit; the change was not written
├── ChangeConflict       the job ID was accepted before, for a change of other content
├── LayoutMismatch       the queue has another layout, or another number of shards; the message says what to do
├── MigrationRefused     the queue cannot be moved to this version's layout now
├── BatchConflict        the batch has other content, is sealed or was cancelled; the message says what was added
├── BatchRefused         `all_or_nothing` was set and an item was refused; nothing was written
├── ReplayRefused        a dead letter cannot be sent again; it is kept
├── MalformedChange      a stored payload is not a change that this version can apply
├── WrongEventLoop       an event loop of another thread uses the producer; nothing was written
├── QueueUnavailable     Redis did not answer, or refused a command; repeat with the same job ID
├── QueueFull            a QueueUnavailable: Redis's memory is almost full; nothing of the call is in doubt
├── ShardsUnavailable    a QueueUnavailable: some shards did the call, and others did not answer; it names them
├── ResultTimeout        the change or batch has not finished in time; it stays queued
├── JobNotFound          no such change, or its result has expired; the ID may be that of another arq app's job
├── BatchNotFound        no such batch, or it has expired
└── DeadLetterNotFound   no such dead letter, or it has expired
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_VALUE_CHARS = 80

MISSING = "is missing"
"""The rule of a required field that was not given."""


class ProducerError(Exception):
    """Base of all errors of this package."""


class InvalidChange(ProducerError):
    """A change that breaks a rule.

    Attributes:
        field: the field in wire names, such as "settings[2].stopLossRatio".
        rule: what the field must be, or "is missing".
        value: what it was; None if it is missing.
    """

    def __init__(self, field: str, rule: str, value: object) -> None:
        super().__init__(field, rule, value)
        self.field = field
        self.rule = rule
        self.value = value

    def __str__(self) -> str:
        got = "" if self.rule == MISSING else f"; got {abbreviated(self.value)}"
        return f"{self.field}: {self.rule}{got}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"  # of bounded length, whatever the value


class InvalidArgument(ProducerError):
    """An argument of a call that is out of bounds, such as `ttl_s`. Nothing was written.

    Attributes:
        argument: the argument's name, such as "ttl_s".
        rule: what it must be.
        value: what it was.
    """

    def __init__(self, argument: str, rule: str, value: object) -> None:
        super().__init__(argument, rule, value)
        self.argument = argument
        self.rule = rule
        self.value = value

    def __str__(self) -> str:
        return f"{self.argument}: {self.rule}; got {abbreviated(self.value)}"


class InvalidId(InvalidArgument):
    """An ID that is empty, too long or not printable ASCII; or a job ID that is reserved, or that another app uses."""


class InvalidLimit(InvalidArgument):
    """A rate that is not a number of requests per second within bounds. Nothing was changed."""


class InvalidCursor(InvalidArgument):
    """A cursor that is not a position in the results of this batch."""


class SettingsError(ProducerError):
    """A setting that cannot be used. The message names the variable, the rule and the value.

    Calls raise it too, if the DSN names a cluster as a single server, or the reverse: nothing was written.
    """


class LaneFull(ProducerError):
    """The lane holds `COPYTRADE_LANE_LIMIT` changes. Retry when some of them have finished."""


class ChangeConflict(ProducerError):
    """The job ID was accepted before, for a change of other content. Nothing was written."""


class LayoutMismatch(ProducerError):
    """The queue has another layout, or another number of shards. Nothing was read or written."""


class MigrationRefused(ProducerError):
    """The queue cannot be moved to the layout of this version now. Nothing was moved."""


class BatchConflict(ProducerError):
    """The batch has other content, is sealed or was cancelled. The message says what was added before that."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item of an iterable that was not accepted.

    Attributes:
        index: its place in the iterable, from 0.
        error: InvalidChange (with field, rule and value), InvalidId or LaneFull.
        user_id: its user, if the item has one.
    """

    index: int
    error: ProducerError
    user_id: str | None = None


class BatchRefused(ProducerError):
    """`all_or_nothing` was set, and some items cannot be accepted. Nothing was written.

    Attributes:
        refused: those items, and why.
    """

    def __init__(self, refused: list[Refusal]) -> None:
        first = refused[0]
        super().__init__(
            f"{len(refused)} of the items cannot be accepted, the first (index {first.index}): {first.error};"
            " nothing was written: correct them, or submit the others without all_or_nothing"
        )
        self.refused = refused

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.refused,)


class ReplayRefused(ProducerError):
    """A dead letter that cannot be sent again. The message says why."""


class MalformedChange(ProducerError):
    """A stored payload that is not a change this version can apply. The message says why."""


class WrongEventLoop(ProducerError):
    """The producer or its client belongs to another event loop. Nothing was written. The message says what to do."""


class QueueUnavailable(ProducerError):
    """Redis did not answer, or refused a command. A change may be accepted or not: repeat it with the same job ID."""


class QueueFull(QueueUnavailable):
    """Redis's memory is full, or above `COPYTRADE_REDIS_FULL_PERCENT` of its `maxmemory`.

    Nothing is in doubt: the message says what the call had accepted before; the rest was not accepted.

    Attributes:
        jobs: handles to the changes that the call had accepted before, if it was `enqueue_many`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.jobs: list[Any] = []


class ShardsUnavailable(QueueUnavailable):
    """Some shards of the queue did what the call asks, and others did not answer. The message names both; repeat it.

    Attributes:
        answers: what each of the shards that answered returned, in their order.
        partial: what `paused`, `overview`, `trader_status` and `Batch.progress` would return if there were only these
            shards; None for other calls, and if these shards have nothing of it.
    """

    def __init__(self, message: str, answers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.answers = answers
        self.partial: Any = None


class ResultTimeout(ProducerError, TimeoutError):
    """The change or the batch has not finished within the timeout. It stays queued; ask again later."""


class JobNotFound(ProducerError, LookupError):
    """There is no such change, or its result has expired."""


class BatchNotFound(ProducerError, LookupError):
    """There is no such batch, or it has expired."""


class DeadLetterNotFound(ProducerError, LookupError):
    """There is no such dead letter, or it has expired."""


def abbreviated(value: object) -> str:
    """Return the repr of a value, cut to 80 characters, for an error message."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}... ({len(text)} characters)"


def printable_name(name: object) -> str:
    """Return a field's name as it is, or its repr if it is no text, empty, long or not printable."""
    is_plain = isinstance(name, str) and name.isprintable() and 0 < len(name) <= MAX_VALUE_CHARS
    return str(name) if is_plain else abbreviated(name)

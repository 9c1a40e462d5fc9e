"""What an error of Redis means, and what to do: for the messages of producers, workers and the doctor. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from producers.transport.explanations import CLUSTER, NO_CLUSTER, RULES, UNKNOWN, Explanation
from producers.transport.redis_errors import is_from_cluster, refusal_code, refusal_text


def explain(error: BaseException) -> Explanation:
    """Return what an error of redis-py, or of the network, means."""
    chain = list(_causes(error))
    found = next((found for mark, found in RULES if any(_bears(cause, mark) for cause in chain)), UNKNOWN)
    if found.cluster_remedy and any(is_from_cluster(cause) for cause in chain):
        return replace(found, remedy=found.cluster_remedy)
    return found


def is_wrong_server(error: BaseException) -> bool:
    """Return whether the DSN names a cluster as a single server, or the reverse: then nothing was written."""
    return explain(error) in (CLUSTER, NO_CLUSTER)


def describe(error: BaseException) -> str:
    """Return what an error means, its own text, and what to do, in one line."""
    explanation = explain(error)
    said = f"{explanation.problem} ({type(error).__name__}: {refusal_text(error)})"
    return f"{said}; {explanation.remedy}" if explanation.remedy else said


def _bears(error: BaseException, mark: type[BaseException] | re.Pattern[str] | frozenset[str]) -> bool:
    """Return whether an error is of a class, has a text that matches, or has one of these codes of Redis."""
    match mark:
        case type():
            return isinstance(error, mark)
        case re.Pattern():
            return mark.search(str(error)) is not None
        case frozenset():
            return refusal_code(error) in mark
        case _:
            assert_never(mark)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)

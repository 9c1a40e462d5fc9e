"""Bodies of rows, NDJSON or CSV: written to a temporary file, checked, and read again to be sent. None is held."""

from __future__ import annotations

import tempfile
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, cast

from litestar import Request

from producers.cli.input.followers import Followers, Format, ValidationReport, ValidRow
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.input.template import Template
from producers.contract.access_keys import AccessKey
from producers.contract.messages import SettingsChange
from producers.gateway.calls.problem_document import MAX_ROWS_SHOWN, RowProblem, type_of
from producers.gateway.calls.problems import BadRows, BodyTooLarge
from producers.gateway.calls.turns import Turns

SPOOLED_BYTES = 1_048_576
"""What is kept in memory of a body; the rest is in a file."""


class Rows:
    """The rows of one body, under a template. An access key that is bound refuses some of them.

    Attributes:
        valid_lines: the lines of the valid ones, when they have been validated.
    """

    def __init__(self, stream: BinaryIO, file_format: Format, template: Template, key: AccessKey) -> None:
        self._followers = Followers(stream, file_format, template)
        self._key = key
        self.valid_lines = array("I")

    async def read(self, most: int | None = None) -> AsyncIterator[ValidRow | RowError]:
        """Read the rows from the start. Lines without a value are left out, but count and take their time.

        Raises:
            BadRows: the body as a whole is invalid.
            BodyTooLarge: it has more than so many lines.
        """
        turns = Turns(time.perf_counter)
        try:
            for number, row in enumerate(self._followers.lines(), 1):
                if most is not None and number > most:
                    raise BodyTooLarge(f"the body must have at most {most:,} rows, empty ones included")
                await turns.give()
                if row is not None:
                    yield self._permitted(row)
        except BadInput as exc:
            raise BadRows(exc.problem, [], total=0) from exc

    async def validate(self, most: int) -> ValidationReport:
        """Read all rows.

        Raises:
            BadRows: the body as a whole is invalid, or has no rows.
            BodyTooLarge: it has more than so many.
        """
        report = ValidationReport()
        async for row in self.read(most):
            if isinstance(row, ValidRow):
                report.valid += 1
                self.valid_lines.append(row.line)
                report.users_only = report.users_only and row.user_only
            else:
                report.invalid += 1
                if len(report.errors) < MAX_ROWS_SHOWN:
                    report.errors.append(row)
        if not report.valid and not report.invalid:
            raise BadRows("the body has no rows", [], total=0)
        return report

    async def changes(self) -> AsyncIterator[SettingsChange]:
        """Read the changes of the valid rows."""
        async for row in self.read():
            if isinstance(row, ValidRow):
                yield row.change

    async def users(self) -> AsyncIterator[str]:
        """Read the users of the valid rows."""
        async for change in self.changes():
            yield change.user_id

    def _permitted(self, row: ValidRow | RowError) -> ValidRow | RowError:
        if isinstance(row, RowError) or self._key.permits_lane(row.change.user_id, row.change.trader_id):
            return row
        return RowError(row.line, "userId", "is not one that the access key is for", row.change.user_id)


@asynccontextmanager
async def spooled(request: Request[Any, Any, Any], limit: int) -> AsyncIterator[BinaryIO]:
    """Yield a body as a file.

    Raises:
        BodyTooLarge: it is larger than `limit` bytes.
    """
    with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as stream:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(f"the body must be at most {limit:,} bytes")
            stream.write(chunk)
        stream.seek(0)
        yield cast("BinaryIO", stream)


def problem_of(row: RowError) -> RowProblem:
    """Return the problem of a row."""
    field = None if row.field == "line" else row.field
    return RowProblem(type=type_of("InvalidChange"), line=row.line, field=field, rule=row.rule, value=row.value)

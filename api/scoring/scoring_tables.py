"""Bodies of `/invocations` that are tables: CSV, and the other file formats of jobs. Blocking.

They are read like the file of a job, except that an invalid row fails the request.
"""

from __future__ import annotations

from typing import Any

from shared.columns import nested
from shared.errors import InvalidInputError, PayloadTooLargeError
from shared.input_problems import MOST_PROBLEMS, InputProblem
from shared.tabular.content_types import Wrapping
from shared.tabular.reading import Reading, UploadLimits
from shared.tabular.rows import Rows
from shared.tabular.upload_options import UploadOptions
from shared.validation import RowValidator


def read_table(validator: RowValidator, wrapping: Wrapping, body: bytes) -> list[list[Any]]:
    """The validated values, one list per input. Raises InvalidInputError, or PayloadTooLargeError beyond the
    rows of a request."""
    spec = validator.spec
    most_rows = spec.limits.max_rows_per_request
    limits = UploadLimits(len(body), chunk_rows=most_rows, chunk_bytes=len(body), spool_dir=None)
    reading = Reading(wrapping, validator, UploadOptions(model=spec.name), limits, digested=False)
    values: list[list[Any]] = [[] for _ in spec.inputs]
    rows = 0
    for block in reading.rows(body):
        _require_valid(block, rows)
        rows += len(block.reasons)
        if rows > most_rows:
            raise PayloadTooLargeError(f"This model takes at most {most_rows} rows per request.")
        for column, array in zip(values, block.inputs, strict=True):
            column.extend(array.to_pylist())
    return [_shaped(column, field.shape) for column, field in zip(values, spec.inputs, strict=True)]


def _require_valid(block: Rows, first_row: int) -> None:
    if block.has_invalid:
        reasons = enumerate(block.reasons.to_pylist(), first_row)
        problems = [
            InputProblem(row=row, field=None, loc=[row], msg=reason, type="invalid_row")
            for row, reason in reasons
            if reason is not None
        ]
        more = len(problems) - MOST_PROBLEMS
        raise InvalidInputError(
            f"{len(problems)} invalid row(s).", problems=problems[:MOST_PROBLEMS], more_problems=max(0, more)
        )


def _shaped(values: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Tensors lie flat in a table."""
    if len(shape) < 2:
        return values
    return [nested(flat, shape)[0] for flat in values]

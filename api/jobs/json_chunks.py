"""A job's JSON body → chunks of Arrow data. Blocking: run it in a thread.

The body is split into raw rows, and these are validated a thousand at a time: between two slices the thread
yields to the event loop, so that a large job does not delay `/predict`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import pyarrow as pa
from msgspec import Meta

from shared.arrow_tables import batch_of_values
from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.specs import ModelSpec
from shared.tabular.chunking import Chunk, Cutter, whole
from shared.tabular.content_types import Packing
from shared.tabular.decompression import Meter, unpacked
from shared.tabular.json_bodies import refuse_other
from shared.tabular.ndjson import rows_of_json
from shared.tabular.reading import ReadSummary
from shared.tabular.row_texts import RowTexts, row_texts
from shared.tabular.rows import Rows
from shared.tabular.upload_options import kept_columns
from shared.validation import RowValidator, Values
from shared.validation_messages import of_msgspec

SLICE_ROWS = 1000

Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Column = Annotated[str, Meta(min_length=1, max_length=200)]


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /jobs`; its rows are not validated yet."""

    model: Annotated[str, Meta(max_length=64, description="The model's name")]
    version: Annotated[str, Meta(max_length=64)] | None = None
    inputs: Annotated[list[msgspec.Raw], Meta(min_length=1)]
    reference: Annotated[str, Meta(max_length=200, description="The client's own name for the job")] = ""
    tags: Annotated[list[Tag], Meta(max_length=20)] = []
    priority: Annotated[int, Meta(ge=0, le=9, description="Weight among your jobs, 0–9")] = 5
    max_errors: (
        Annotated[
            int | float | str,
            Meta(description="Rows that may fail: a count (25) or a share (0.1); default: any number"),
        ]
        | None
    ) = None
    expires_in_s: (
        Annotated[float, Meta(gt=0, le=366 * 86_400, description="Seconds to keep the job after its end")]
        | None
    ) = None
    webhook_url: Annotated[str, Meta(max_length=2048, description="URL that receives the job's end")] = ""
    validate_only: Annotated[bool, Meta(description="Validate every row; create no job")] = False
    keep_columns: Annotated[
        list[Column],
        Meta(max_length=50, description="Fields of the rows to copy to the results, inputs or other fields"),
    ] = []
    id_column: Annotated[
        str, Meta(max_length=200, description="Field that identifies a row; it is copied to the results")
    ] = ""

    @property
    def kept(self) -> tuple[str, ...]:
        """The fields to copy to the results, the id column first."""
        return kept_columns(self.id_column, self.keep_columns)


_decoder = msgspec.json.Decoder(Submission)


def unpacked_body(body: bytes, packing: Packing, most_bytes: int) -> bytes:
    """Decompress a body. Raises InvalidInputError if it is not packed that way, PayloadTooLarge past the
    limit."""
    if packing is Packing.NONE:
        return body
    try:
        meter = Meter(unpacked(io.BytesIO(body), packing), most_bytes, digested=False)
        return b"".join(iter(lambda: meter.read(2**20), b""))
    except MemoryError:  # also pyarrow.ArrowMemoryError: the bytes are not at fault
        raise
    except (OSError, pa.ArrowException):
        raise InvalidInputError(f"The body is not {packing}: it is damaged or in another format.") from None


def read_submission(body: bytes) -> Submission:
    """Decode a submission. Raises InvalidInputError with the field."""
    try:
        return _decoder.decode(body)
    except RecursionError:
        raise _invalid("the JSON is nested too deeply", None) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if not isinstance(error, msgspec.ValidationError):
            refuse_other(body)
        reason, _, path = str(error).partition(" - at `$")
        field = path.strip("`.") or None
        raise _invalid(of_msgspec(reason, Submission.__struct_fields__), field) from None


def chunks_of(
    validator: RowValidator, submission: Submission, *, chunk_rows: int, chunk_bytes: int
) -> list[Chunk]:
    """Validate all rows and cut them into chunks of at most `chunk_rows` and about `chunk_bytes`.

    Raises InvalidInputError with row and field.
    """
    rows = row_texts(validator.spec, submission.inputs, submission.kept)
    if len(rows.texts) <= min(SLICE_ROWS, chunk_rows):
        (batch,) = _batches(validator, rows)
        if batch.get_total_buffer_size() <= chunk_bytes:
            return [whole(batch)]
    cutter = Cutter(chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)
    chunks = [chunk for batch in _batches(validator, rows) for chunk in cutter.add(batch)]
    return [*chunks, *cutter.rest()]


def chunks_of_values(spec: ModelSpec, values: Values, *, chunk_rows: int, chunk_bytes: int) -> list[Chunk]:
    """Cut validated rows into chunks, as `chunks_of` does."""
    cutter = Cutter(chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)
    return [*cutter.add(batch_of_values(spec, values)), *cutter.rest()]


def examine(validator: RowValidator, submission: Submission) -> ReadSummary:
    """Validate all rows without creating a job. Raises InvalidInputError if they cannot be rows of a job."""
    rows = row_texts(validator.spec, submission.inputs, submission.kept)
    summary = ReadSummary()
    for first in range(0, len(rows.texts), SLICE_ROWS):
        summary.add(rows_of_json(validator, [bytes(row) for row in rows.texts[first : first + SLICE_ROWS]]))
    return summary


def _batches(validator: RowValidator, rows: RowTexts) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(rows.texts), SLICE_ROWS):
        values = validator.read_rows(rows.joined(first, first + SLICE_ROWS), first)
        batch = batch_of_values(validator.spec, values)
        kept = [column.slice(first, batch.num_rows) for column in rows.kept.values()]
        yield _with_kept(batch, validator.spec, list(rows.kept), kept) if kept else batch


def _with_kept(
    batch: pa.RecordBatch, spec: ModelSpec, names: Sequence[str], kept: Sequence[pa.Array]
) -> pa.RecordBatch:
    return Rows(batch.columns, pa.nulls(batch.num_rows, pa.string()), kept).batch(spec, names)


def _invalid(reason: str, field: str | None) -> InvalidInputError:
    problem = InputProblem(
        row=None, field=field, loc=[field] if field else [], msg=reason, type="invalid_body"
    )
    return InvalidInputError(f"The body is not a job: {reason}", problems=[problem])

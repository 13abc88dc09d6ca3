"""A job's JSON body → chunks of Arrow data. Blocking: it belongs into a thread.

The body is cut into raw rows first and validated a thousand at a time, so that the thread gives way to the
event loop in between and `/predict` is not held up by a large job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import pyarrow as pa
from msgspec import Meta

from api.validation import RowValidator
from shared.errors import InvalidInput, Problem
from shared.tables import batch_of_values, input_schema, write_ipc

SLICE_ROWS = 1000

Tag = Annotated[str, Meta(min_length=1, max_length=64)]


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /jobs`; its rows are not looked at yet."""

    model: Annotated[str, Meta(max_length=64, description="The model's name")]
    version: Annotated[str, Meta(max_length=64)] | None = None
    inputs: Annotated[list[msgspec.Raw], Meta(min_length=1)]
    reference: Annotated[str, Meta(max_length=200, description="The client's own name for the job")] = ""
    tags: Annotated[list[Tag], Meta(max_length=20)] = []


@dataclass(frozen=True)
class Chunk:
    rows: int
    data: bytes  # an Arrow IPC stream


_decoder = msgspec.json.Decoder(Submission)


def read_submission(body: bytes) -> Submission:
    """Raises InvalidInput, naming the field."""
    try:
        return _decoder.decode(body)
    except RecursionError:
        raise _invalid("Invalid JSON: nested too deeply", None) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise _invalid(reason, path.rstrip("`") or None) from None


def chunks_of(
    validator: RowValidator, inputs: Sequence[msgspec.Raw], *, chunk_rows: int, chunk_bytes: int
) -> list[Chunk]:
    """All rows, validated, in chunks of at most so many rows and, to the next slice, so many bytes.

    Raises InvalidInput, naming row and field.
    """
    chunks: list[Chunk] = []
    waiting: list[pa.RecordBatch] = []
    for batch in _batches(validator, inputs, min(SLICE_ROWS, chunk_rows)):
        rows, size = sum(b.num_rows for b in waiting), sum(b.nbytes for b in waiting)
        if waiting and (rows + batch.num_rows > chunk_rows or size + batch.nbytes > chunk_bytes):
            chunks.append(_chunk(validator, waiting))
            waiting = []
        waiting.append(batch)
    return [*chunks, _chunk(validator, waiting)]


def _batches(
    validator: RowValidator, inputs: Sequence[msgspec.Raw], slice_rows: int
) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(inputs), slice_rows):
        array = b"[%s]" % b",".join(map(bytes, inputs[first : first + slice_rows]))
        yield batch_of_values(validator.spec, validator.read_rows(array, first))


def _chunk(validator: RowValidator, batches: Sequence[pa.RecordBatch]) -> Chunk:
    data = write_ipc(batches, input_schema(validator.spec))
    return Chunk(sum(batch.num_rows for batch in batches), data)


def _invalid(reason: str, field: str | None) -> InvalidInput:
    problem = Problem(row=None, field=field, loc=[field] if field else [], msg=reason, type="invalid_body")
    return InvalidInput("The body is not a job.", problems=[problem])

"""The result of a chunk, as it is stored and committed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from shared import arrow_tables
from shared.arrow_tables import Compression
from shared.integrity import object_digest
from shared.ledger import INLINE_BYTES, Claim, Ended
from shared.payloads import result_path
from worker.execution.invalid_rows import failures_of


@dataclass(frozen=True)
class ChunkResult:
    """The commit of a chunk, and the bytes of its result as an Arrow IPC stream."""

    ended: Ended
    data: bytes

    @property
    def in_ledger(self) -> bool:
        """Whether the ledger keeps the result, beside the rows of a small job; otherwise it is at `path`."""
        return bool(self.ended.result)

    @property
    def path(self) -> str:
        """The path of the result in the payload store. Each claim has a path of its own."""
        return result_path(self.ended.held.job_id, self.ended.held.index, self.ended.held.token)


def result_of(
    held: Claim, answer: pa.Table, first_row: int | None, *, computed_by: str, compression: Compression
) -> ChunkResult:
    """The result of a chunk. `first_row`: the number of its first row in the job's file, if it is known."""
    failures = failures_of(answer, first_row)
    data = arrow_tables.write_ipc(answer.to_batches(), answer.schema, compression)
    in_ledger = bool(held.data) and len(data) <= INLINE_BYTES
    ended = Ended(
        held=held,
        rows_succeeded=held.rows - failures.rows,
        rows_failed=failures.rows,
        first_errors=failures.first,
        result=data if in_ledger else b"",
        result_digest=object_digest(data),
        computed_by=computed_by,
    )
    return ChunkResult(ended, data)

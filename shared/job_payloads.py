"""Reading of a job's rows and results: from the ledger, for a small job, or from the payload store."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa

from shared.arrow_tables import read_ipc
from shared.errors import (
    PayloadCorruptError,
    PayloadError,
    PayloadLostError,
    PayloadStoreAwayError,
    ResultLostError,
)
from shared.integrity import require_intact
from shared.ledger import ChunkRecord, Inline
from shared.payloads import PayloadStore, result_path, rows_path

LOOK_AGAIN_S = (0.1, 0.3)
"""Delays before a missing object is read again; after the last, it counts as lost."""


class JobObjects:
    """The objects of a job. A job with objects in the ledger has a single chunk.

    Reading from the store blocks. Raises PayloadStoreAwayError if the store does not answer.
    """

    def __init__(self, store: PayloadStore, job_id: str, inline: Inline) -> None:
        self._store = store
        self._job_id = job_id
        self._inline = inline

    def rows(self, chunk: ChunkRecord) -> bytes:
        """Raises PayloadError if the rows are missing, and PayloadCorruptError if they were changed."""
        return self._read("rows", chunk, self._inline.rows, rows_path(self._job_id, chunk.index))

    def result(self, chunk: ChunkRecord) -> bytes:
        """Raises PayloadError if the result is missing, and PayloadCorruptError if it was changed."""
        path = result_path(self._job_id, chunk.index, chunk.token)
        return self._read("result", chunk, self._inline.result, path)

    def rows_table(self, chunk: ChunkRecord) -> pa.Table:
        """Raises PayloadCorruptError if the rows were changed, and PayloadLostError if they are missing or
        damaged."""
        try:
            return read_ipc(self.rows(chunk), verified=bool(chunk.rows_digest))
        except (PayloadStoreAwayError, PayloadCorruptError):
            raise
        except PayloadError as error:
            raise PayloadLostError(f"The stored rows of chunk {chunk.index} are lost.") from error

    def result_table(self, chunk: ChunkRecord) -> pa.Table:
        """Raises ResultLostError if the result is missing or damaged."""
        try:
            return read_ipc(self.result(chunk), verified=bool(chunk.result_digest))
        except PayloadStoreAwayError:
            raise
        except PayloadError as error:
            cause = error.code if isinstance(error, PayloadCorruptError) else PayloadLostError.code
            raise ResultLostError(
                error.detail, job_id=self._job_id, index=chunk.index, token=chunk.token, cause=cause
            ) from error

    def _read(self, kind: str, chunk: ChunkRecord, inline: bytes, path: str) -> bytes:
        recorded = chunk.rows_digest if kind == "rows" else chunk.result_digest
        name = f"{kind} of chunk {chunk.index} of job {self._job_id}"
        if inline:
            return require_intact(inline, recorded, name)
        return _with_retries(lambda: require_intact(self._store.get(path), recorded, name))


def _with_retries(read: Callable[[], bytes]) -> bytes:
    """Retries, because a network file system may show a new file late."""
    for pause_s in LOOK_AGAIN_S:
        try:
            return read()
        except PayloadStoreAwayError:
            raise
        except PayloadError:
            time.sleep(pause_s)
    return read()

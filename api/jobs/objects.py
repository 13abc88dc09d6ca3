"""Where a job's rows and results are read from: the ledger, for a small job, or the payload store."""

from __future__ import annotations

from shared.ledger import ChunkRecord, Inline
from shared.payloads import PayloadStore, result_path, rows_path


class JobObjects:
    """The objects of one job; where any lie in the ledger, it has one chunk.

    Blocking where something is read from the store. Raises PayloadError where it is gone.
    """

    def __init__(self, store: PayloadStore, job_id: str, inline: Inline) -> None:
        self._store = store
        self._job_id = job_id
        self._inline = inline

    def rows(self, chunk: ChunkRecord) -> bytes:
        return self._inline.rows or self._store.get(rows_path(self._job_id, chunk.index))

    def result(self, chunk: ChunkRecord) -> bytes:
        return self._inline.result or self._store.get(result_path(self._job_id, chunk.index, chunk.token))

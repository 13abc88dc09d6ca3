"""Where a job's rows and results are read from: the ledger, for a small job, or the payload store."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa

from shared.errors import PayloadError, PayloadLost, PayloadStoreAway, ResultLost
from shared.ledger import ChunkRecord, Inline
from shared.payloads import PayloadStore, result_path, rows_path
from shared.tables import read_ipc

LOOK_AGAIN_S = (0.1, 0.3)
"""When an object that is missing is looked for again, before it counts as lost."""


class JobObjects:
    """The objects of one job; where any lie in the ledger, it has one chunk.

    Blocking where something is read from the store. Raises PayloadStoreAway where the store does not answer.
    """

    def __init__(self, store: PayloadStore, job_id: str, inline: Inline) -> None:
        self._store = store
        self._job_id = job_id
        self._inline = inline

    def rows(self, chunk: ChunkRecord) -> bytes:
        """Raises PayloadError where they are gone."""
        return self._inline.rows or self._found(rows_path(self._job_id, chunk.index))

    def result(self, chunk: ChunkRecord) -> bytes:
        """Raises PayloadError where it is gone."""
        return self._inline.result or self._found(result_path(self._job_id, chunk.index, chunk.token))

    def rows_table(self, chunk: ChunkRecord) -> pa.Table:
        """Raises PayloadLost where they are gone or damaged."""
        try:
            return read_ipc(self.rows(chunk))
        except PayloadStoreAway:
            raise
        except PayloadError as error:
            raise PayloadLost(f"The stored rows of chunk {chunk.index} are lost.") from error

    def result_table(self, chunk: ChunkRecord) -> pa.Table:
        """Raises ResultLost where it is gone or damaged."""
        try:
            return read_ipc(self.result(chunk))
        except PayloadStoreAway:
            raise
        except PayloadError as error:
            raise ResultLost(error.detail, index=chunk.index, token=chunk.token) from error

    def _found(self, path: str) -> bytes:
        return _again(lambda: self._store.get(path))


def _again(read: Callable[[], bytes]) -> bytes:
    """A network file system may show a file late."""
    for pause_s in LOOK_AGAIN_S:
        try:
            return read()
        except PayloadStoreAway:
            raise
        except PayloadError:
            time.sleep(pause_s)
    return read()

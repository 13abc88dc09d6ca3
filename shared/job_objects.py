"""Where a job's rows and results are read from: the ledger, for a small job, or the payload store."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa

from shared.errors import PayloadCorrupt, PayloadError, PayloadLost, PayloadStoreAway, ResultLost
from shared.integrity import require_intact
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
        """Raises PayloadError if they are gone, and PayloadCorrupt if they are not what was written."""
        return self._read("rows", chunk, self._inline.rows, rows_path(self._job_id, chunk.index))

    def result(self, chunk: ChunkRecord) -> bytes:
        """Raises PayloadError if it is gone, and PayloadCorrupt if it is not what was written."""
        path = result_path(self._job_id, chunk.index, chunk.token)
        return self._read("result", chunk, self._inline.result, path)

    def rows_table(self, chunk: ChunkRecord) -> pa.Table:
        """Raises PayloadCorrupt if they were changed, and PayloadLost if they are gone or damaged."""
        try:
            return read_ipc(self.rows(chunk), verified=bool(chunk.rows_sha256))
        except (PayloadStoreAway, PayloadCorrupt):
            raise
        except PayloadError as error:
            raise PayloadLost(f"The stored rows of chunk {chunk.index} are lost.") from error

    def result_table(self, chunk: ChunkRecord) -> pa.Table:
        """Raises ResultLost where it is gone or damaged."""
        try:
            return read_ipc(self.result(chunk), verified=bool(chunk.result_sha256))
        except PayloadStoreAway:
            raise
        except PayloadError as error:
            cause = error.code if isinstance(error, PayloadCorrupt) else PayloadLost.code
            raise ResultLost(error.detail, index=chunk.index, token=chunk.token, cause=cause) from error

    def _read(self, what: str, chunk: ChunkRecord, inline: bytes, path: str) -> bytes:
        recorded = chunk.rows_sha256 if what == "rows" else chunk.result_sha256
        named = f"{what} of chunk {chunk.index} of job {self._job_id}"
        if inline:
            return require_intact(inline, recorded, named)
        return _again(lambda: require_intact(self._store.get(path), recorded, named))


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

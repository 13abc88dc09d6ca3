"""Bodies of large jobs, generated while they are sent, so that memory does not grow with the rows."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


def arrow_stream(table: pa.Table, rows: int) -> Iterator[bytes]:
    """An Arrow IPC stream of `rows` rows that repeats the table."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for first in range(0, rows, table.num_rows):
            writer.write_table(table.slice(0, rows - first))
            yield _taken(sink)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written

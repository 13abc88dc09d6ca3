"""Bodies of large jobs, made while they are sent: their memory does not grow with their rows."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


def arrow_stream(table: pa.Table, rows: int) -> Iterator[bytes]:
    """So many rows as an Arrow IPC stream: those of the table, again and again."""
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

"""Random rows, and the same rows as files and requests in the servers' formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from bench.subjects import Description

_KINDS = 50_000  # number of distinct rows; the remaining rows repeat them
_BATCH_ROWS = 65_536
_GROUP_ROWS = 1_000_000  # as Parquet writers do


def draw(description: Description, rows: int) -> np.ndarray:
    """Seeded random rows of shape (rows, width): float64 for an estimator, float32 for a network."""
    luck, shape = np.random.default_rng(5), (min(rows, _KINDS), description.width)
    found: np.ndarray = (
        luck.normal(size=shape).astype(np.float32)
        if description.network
        else luck.uniform(0.1, 8.0, shape).round(2)
    )
    return np.resize(found, (rows, description.width))


def write_file(form: str, path: Path, description: Description, rows: np.ndarray) -> None:
    """`form` is a key of MEDIA_TYPES. Raises ValueError if the format cannot hold the model's rows."""
    if description.network and form == "csv":
        raise ValueError("a tensor row does not fit a line of plain numbers: use parquet or arrow")
    _WRITERS[form](path, _table(description, rows))


def requests_of(rows: np.ndarray, rows_a_request: int) -> Iterator[Mapping[str, Any]]:
    """`{"inputs": [[…], …]}`, the request of the guide's batch route. Any: JSON."""
    for first in range(0, len(rows), rows_a_request):
        yield {"inputs": rows[first : first + rows_a_request].tolist()}


def _table(description: Description, rows: np.ndarray) -> pa.Table:
    if description.network:
        flat = pa.array(rows.reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(flat, description.width)
        return pa.table({description.fields[0]: lists})
    return pa.table(dict(zip(description.fields, np.ascontiguousarray(rows.T), strict=True)))


def _write_csv(path: Path, table: pa.Table) -> None:
    csv.write_csv(table, path)


def _write_parquet(path: Path, table: pa.Table) -> None:
    parquet.write_table(table, path, row_group_size=_GROUP_ROWS)


def _write_arrow(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as sink:
        sink.write_table(table, _BATCH_ROWS)


_WRITERS: Mapping[str, Callable[[Path, pa.Table], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}

MEDIA_TYPES = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}

"""The sequence of submitted jobs, and the bytes of each job. Pure."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from takt.bodies import Rows
from takt.formats import Format
from tests.chaos.terrain import INPUTS, Pool

ID = "place"
"""The column with a row's name in a file; results repeat it beside the row's height."""

_ROWS = {
    Format.ARROW: (1_000, 400_000),
    Format.PARQUET: (1_000, 400_000),
    Format.CSV: (1, 30_000),
    Format.NDJSON: (1, 20_000),
    Format.JSON: (1, 3_000),
}
"""Minimum and maximum."""
_TURNS = (*(Format.ARROW,) * 5, *(Format.PARQUET,) * 4, Format.CSV, Format.NDJSON, Format.JSON)


@dataclass(frozen=True)
class Order:
    """A job to submit: a number of rows of the pool."""

    key: str  # Idempotency-Key and reference
    format: Format
    first: int
    rows: int

    @property
    def has_ids(self) -> bool:
        """Whether the rows have names, which a JSON document does not support."""
        return self.format is not Format.JSON


def orders(seed: int, name: str, pool_rows: int) -> Iterator[Order]:
    """An endless sequence of jobs with log-uniform sizes."""
    luck = random.Random(f"{seed} {name}")
    number = 0
    while True:
        number += 1
        kind = luck.choice(_TURNS)
        rows = round(math.exp(luck.uniform(*map(math.log, _ROWS[kind]))))
        yield Order(f"{name}-{number}", kind, luck.randrange(pool_rows), rows)


def body(order: Order, pool: Pool) -> Rows:
    """The rows in the submitted form: a file's bytes, or a list for a JSON document."""
    places = pool.places[pool.span(order.first, order.rows)]
    if order.format is Format.JSON:
        return [dict(zip(INPUTS, row, strict=True)) for row in places.tolist()]
    table = pa.table({ID: np.arange(order.rows), **dict(zip(INPUTS, places.T, strict=True))})
    return _file(table, order.format)


def _file(table: pa.Table, kind: Format) -> bytes:
    if kind is Format.NDJSON:
        return "\n".join(map(_line, table.to_pylist())).encode()
    sink = io.BytesIO()
    if kind is Format.PARQUET:
        pa.parquet.write_table(table, sink)
    elif kind is Format.CSV:
        pa.csv.write_csv(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=65_536)
    return sink.getvalue()


def _line(row: dict[str, float]) -> str:
    return "{" + ", ".join(f'"{name}": {value!r}' for name, value in row.items()) + "}"

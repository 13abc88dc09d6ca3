"""Reads Arrow results as tables and DataFrames. pyarrow and pandas are imported on first use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def table_of(path: Path) -> pa.Table:
    """Returns the table of an Arrow stream, mapped into memory."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as reader:
        return reader.read_all()


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Returns a DataFrame. Integers and bools with missing values have pandas' nullable dtypes, such as
    Int64: as floats, integers beyond 2^53 would be rounded."""
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    for field, column in zip(table.schema, table.columns, strict=True):
        if column.null_count and (dtype := _nullable_dtype(field.type)):
            frame[field.name] = frame[field.name].astype(dtype)
    return frame


def _nullable_dtype(kind: pa.DataType) -> str | None:
    import pyarrow

    if pyarrow.types.is_boolean(kind):
        return "boolean"
    if not pyarrow.types.is_integer(kind):
        return None
    return f"{'U' if pyarrow.types.is_unsigned_integer(kind) else ''}Int{kind.bit_width}"

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
    frame: pd.DataFrame = table.to_pandas()
    return frame

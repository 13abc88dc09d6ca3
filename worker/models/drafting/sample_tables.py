"""A sample table: the types, ranges, categories and rows of a model's inputs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shared.field_names import spelled
from shared.input_specs import InputType
from shared.tabular.file_formats import ENDINGS, FileFormat
from worker.models.drafting.artifact_facts import DraftError

MOST_ROWS = 200_000
"""Rows of a sample that are read."""
MOST_CATEGORIES = 20
_HEAD_BYTES = 2**16
_CHARSETS = ("utf-8-sig", "cp949")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class SampleColumn:
    """A column of a sample. `least` and `greatest` are None unless it holds numbers."""

    column: str
    type: InputType
    nullable: bool
    least: float | int | None
    greatest: float | int | None
    categories: tuple[Any, ...]  # the values of a column of few texts, sorted (Any: texts)
    longest: int  # characters


@dataclass(frozen=True)
class Sample:
    """A table with rows as the model was trained on; it may have further columns."""

    frame: pd.DataFrame

    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.frame.columns]

    def find(self, column: str) -> str | None:
        """The column of this name, else of this spelling, else the only one with the same letters and digits:
        boosters take no `[` in a name, so that `Torque [Nm]` was trained as `Torque_Nm`."""
        if column in self.frame.columns:
            return column
        for form in (spelled, _letters):
            found = [name for name in self.columns if form(name) == form(column)]
            if len(found) == 1:
                return found[0]
        return None

    def describe(self, column: str) -> SampleColumn:
        values = self.frame[column]
        kind = _type_of(values)
        present = values.dropna()
        numeric = kind in (InputType.FLOAT, InputType.FLOAT32, InputType.INT64) and len(present)
        texts = present.astype(str) if kind is InputType.STRING else pd.Series([], dtype=object)
        distinct = sorted(texts.unique())
        return SampleColumn(
            column,
            kind,
            nullable=len(present) < len(values),
            least=plain(present.min()) if numeric else None,
            greatest=plain(present.max()) if numeric else None,
            categories=tuple(distinct) if len(distinct) <= MOST_CATEGORIES else (),
            longest=int(texts.str.len().max()) if len(texts) else 0,
        )

    def value(self, row: int, column: str) -> Any:
        """A value as model.toml has it; None if it is missing."""
        return plain(self.frame[column].iloc[row])


def read_sample(path: Path) -> Sample:
    """Raises DraftError if it is not a table of rows."""
    if not path.is_file():
        raise DraftError(f"--sample: {path} is no file")
    try:
        frame = _read(path)
    except (ValueError, OSError) as error:  # includes the errors of pandas and Arrow
        raise DraftError(f"--sample: {path.name} cannot be read: {error}") from error
    if not len(frame):
        raise DraftError(f"--sample: {path.name} has no row")
    return Sample(frame)


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name."""
    return ENDINGS.get(path.suffix.lower()) is not None or path.suffix.lower() in (".tsv", ".xlsx")


def plain(value: Any) -> Any:
    """A value of pandas as one of Python; missing values are None."""
    if value is None or value is pd.NaT or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, pd.Timestamp):
        moment: datetime = value.to_pydatetime()
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value.item() if isinstance(value, np.generic) else value


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, spelled(name).casefold()))


def _read(path: Path) -> pd.DataFrame:
    match ENDINGS.get(path.suffix.lower()):
        case FileFormat.PARQUET:
            return _parquet(path)
        case FileFormat.NDJSON:
            return pd.read_json(path, lines=True, nrows=MOST_ROWS)
        case FileFormat.CSV | None:
            return _csv(path)
        case found:
            raise ValueError(f"a sample is CSV, Parquet or NDJSON, not {found}")


def _parquet(path: Path) -> pd.DataFrame:
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(path)
    batches = []
    for batch in file.iter_batches(MOST_ROWS):
        batches.append(batch)
        if sum(one.num_rows for one in batches) >= MOST_ROWS:
            break
    frame: pd.DataFrame = Table.from_batches(batches, file.schema_arrow).to_pandas()
    return frame


def _csv(path: Path) -> pd.DataFrame:
    for charset in _CHARSETS:
        try:
            with path.open(encoding=charset) as file:
                head = file.read(_HEAD_BYTES)
            return pd.read_csv(path, encoding=charset, sep=_delimiter(head), nrows=MOST_ROWS)
        except UnicodeDecodeError:
            continue
    raise ValueError(f"it is neither {' nor '.join(_CHARSETS)}")


def _delimiter(head: str) -> str:
    try:
        return csv.Sniffer().sniff(head, _DELIMITERS).delimiter
    except csv.Error:  # a single column
        return ","


def _type_of(values: pd.Series[Any]) -> InputType:
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
    if pd.api.types.is_bool_dtype(kind):
        return InputType.BOOL
    if pd.api.types.is_integer_dtype(kind):
        return InputType.INT64
    if pd.api.types.is_float_dtype(kind):
        return InputType.FLOAT32 if kind == np.float32 else InputType.FLOAT
    if pd.api.types.is_datetime64_any_dtype(kind):
        return InputType.DATETIME
    return InputType.STRING

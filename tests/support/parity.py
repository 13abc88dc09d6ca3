"""Comparison of a job of any size with its model called in this process, by whole columns.

rows ─ CSV ─▶ job ─ CSV · NDJSON · Parquet · Arrow ─▶ results ─┐
  └── predict_proba of the artifact, here ─▶ answers ──────────┴─▶ equal, column by column
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from shared.arrow_tables import result_schema
from shared.output_specs import OutputSpec, View
from shared.repository import open_repository
from shared.specs import ModelSpec
from tests.support.callers import finished, handed_over

_ROWS_AT_ONCE = 100_000
_PIECE_BYTES = 2**20


def hold_against_model(
    http: httpx.Client, models: Path, model: str, rows: pa.Table, folder: Path, *, limit_s: float
) -> dict[str, Any]:
    """Send rows as a CSV; fetch their results in every format; assert that each value is the model's own.

    Returns the ended job.
    """
    spec = open_repository(models).spec(model)
    job = done_by_csv(http, model, rows, folder, limit_s)
    counts = [job[name] for name in ("state", "rows_total", "rows_succeeded", "rows_failed")]
    assert counts == ["succeeded", rows.num_rows, rows.num_rows, 0], job
    expected = answers_of(spec, models, rows)
    for kind in FORMATS:
        assert differing(results_as(http, job, kind, spec, folder), expected) == [], kind
    return job


def answers_of(spec: ModelSpec, folder: Path, rows: pa.Table) -> pa.Table:
    """The answers of a scikit-learn classifier's artifact to the rows, as columns of a job's result."""
    import joblib

    estimator = joblib.load(folder / spec.name / spec.default_version / "model.joblib")
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = 1
    parts = [estimator.predict_proba(frame) for frame in _frames(estimator, rows)]
    columns = _views(spec, np.concatenate(parts))
    columns["error"] = pa.nulls(rows.num_rows, pa.string())
    return pa.table({"row": np.arange(rows.num_rows)} | columns)


def _frames(estimator: Any, rows: pa.Table) -> Iterator[Any]:  # Any: neither sklearn nor its input has types
    """The input type with which the estimator was fitted: a data frame with names, or an array."""
    for first in range(0, rows.num_rows, _ROWS_AT_ONCE):
        frame = rows.slice(first, _ROWS_AT_ONCE).to_pandas()
        yield frame if hasattr(estimator, "feature_names_in_") else frame.to_numpy()


def _views(spec: ModelSpec, probabilities: Any) -> dict[str, pa.Array]:  # Any: an array of numpy's
    def view(output: OutputSpec) -> pa.Array:
        match output.view:
            case View.LABEL:
                return pa.array(spec.classes).take(pa.array(probabilities.argmax(axis=1)))
            case View.CONFIDENCE:
                return pa.array(_rounded(probabilities.max(axis=1), output))
            case _:
                return _lists(_rounded(probabilities, output))

    return {output.name: view(output) for output in spec.outputs}


def _rounded(values: Any, output: OutputSpec) -> Any:  # Any: an array of numpy's
    return values if output.round is None else values.round(output.round)


def _lists(values: Any) -> pa.ListArray:  # Any: an array of numpy's, of two axes
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))


def done_by_csv(
    http: httpx.Client, model: str, rows: pa.Table, folder: Path, limit_s: float
) -> dict[str, Any]:
    """Submit the rows as a CSV file, and return the ended job."""
    path = folder / "rows.csv"
    pa.csv.write_csv(rows, path)
    with path.open("rb") as file:
        location = handed_over(http, model, file, "text/csv")
    return finished(http, location, limit_s=limit_s)


def results_as(http: httpx.Client, job: dict[str, Any], kind: str, spec: ModelSpec, folder: Path) -> pa.Table:
    """A job's results, downloaded in a format and parsed."""
    path = folder / f"results.{kind}"
    with (
        http.stream("GET", job["links"]["results"], params={"format": kind}) as answer,
        path.open("wb") as file,
    ):
        assert answer.status_code == 200, answer.read()
        for piece in answer.iter_bytes(_PIECE_BYTES):
            file.write(piece)
    schema = pa.schema([pa.field("row", pa.int64()), *result_schema(spec)])
    return _READERS[kind](path, schema).combine_chunks()


def _read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """Parse cells in which a list is JSON text."""
    nested = {field.name: field.type for field in schema if pa.types.is_nested(field.type)}
    flat = {field.name: pa.string() if field.name in nested else field.type for field in schema}
    options = pa.csv.ConvertOptions(column_types=flat, strings_can_be_null=True)
    table = pa.csv.read_csv(path, convert_options=options)
    for name, kind in nested.items():
        texts = [text or "null" for text in table[name].to_pylist()]
        values = pa.array(json.loads(f"[{','.join(texts)}]"), kind)
        table = table.set_column(schema.get_field_index(name), name, values)
    return table


def _read_ndjson(path: Path, schema: pa.Schema) -> pa.Table:
    return pa.json.read_json(path, parse_options=pa.json.ParseOptions(explicit_schema=schema))


def _read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    return pa.parquet.read_table(path).cast(schema)


def _read_arrow(path: Path, schema: pa.Schema) -> pa.Table:
    with pa.ipc.open_stream(path) as stream:
        return stream.read_all().cast(schema)


_READERS: dict[str, Callable[[Path, pa.Schema], pa.Table]] = {
    "csv": _read_csv,
    "ndjson": _read_ndjson,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}
FORMATS = tuple(_READERS)


def differing(found: pa.Table, expected: pa.Table) -> list[str]:
    """Names of columns with different values or a different order."""
    assert found.column_names == expected.column_names
    assert found.num_rows == expected.num_rows
    return [name for name in expected.column_names if not _same(found[name], expected[name])]


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    return bool(one.cast(other.type).combine_chunks().equals(other.combine_chunks()))

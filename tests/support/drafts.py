"""Drafts of models in tests: made in the test's process, from files that the test trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from shared.columns import of_rows
from shared.repository import open_repository
from shared.specs import ModelSpec, Row
from worker.models.drafting.new_model import DraftWorker, NewModel, Request, new_model
from worker.predictors import Predictor, load_predictor
from worker.predictors.outputs import as_columns

WORKER = DraftWorker(device="cpu", threads=1, mismatch="warn", runtime="auto")


def drafted(folder: Path, source: Path | None, **request: Any) -> NewModel:
    """A model `drafted` in `folder/models`."""
    return new_model(Request("drafted", source, **request), folder / "models", WORKER, lambda _step: None)


def stored(estimator: object, folder: Path, name: str = "model.joblib") -> Path:
    joblib.dump(estimator, folder / name)
    return folder / name


def table_file(table: pd.DataFrame, folder: Path, name: str = "sample.csv") -> Path:
    path = folder / name
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return path


def served(folder: Path) -> Predictor:
    """The drafted model, loaded as by a worker that refuses artifacts of other library versions."""
    version = open_repository(folder / "models").version("drafted")
    return load_predictor(version, device="cpu", threads=1, mismatch="refuse")


def spec_in(folder: Path) -> ModelSpec:
    return open_repository(folder / "models").spec("drafted")


def answers(predictor: Predictor, table: pd.DataFrame) -> dict[str, list[Any]]:
    """The outputs for the rows of a table, by name."""
    spec = predictor.spec
    rows: list[Row] = [
        {field.name: row[field.column_name] for field in spec.inputs} for row in table.to_dict("records")
    ]
    columns = as_columns(spec, predictor.predict(of_rows(spec, rows)))
    return dict(zip([output.name for output in spec.outputs], columns, strict=True))

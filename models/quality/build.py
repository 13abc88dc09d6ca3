"""Trains on a synthetic production table: will a part of an injection moulding line be defective?

The table is generated from a seed and has the features of real tables: names, settings, measurements, times
and missing values.
"""

from __future__ import annotations

from operator import attrgetter, methodcaller
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from numpy.random import Generator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from worker.models.build import Build

_SEED = 42
_ROWS = 20_000
_NAMES = ["machine", "product", "shift", "resin_lot"]
_NUMBERS = [
    "melt_temperature_c",
    "mold_temperature_c",
    "torque_nm",
    "pressure_bar",
    "cycle_time_s",
    "operators",
]
_FLAGS = ["maintenance_due"]


def build(folder: Path) -> Build:
    rng = np.random.default_rng(_SEED)
    table = _production_table(rng)
    defects = _defects(table, rng)
    train, test, known, truth = train_test_split(table, defects, test_size=0.25, random_state=_SEED)
    model = _pipeline().fit(train, known)
    joblib.dump(model, folder / "model.joblib")
    return Build("model.joblib", metrics=_metrics(model, test, truth))


def _pipeline() -> Pipeline:
    names = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan
    )  # an unseen name counts as missing
    columns = ColumnTransformer(
        [
            ("names", names, _NAMES),
            ("numbers", "passthrough", _NUMBERS),
            ("flags", "passthrough", _FLAGS),
            ("hour", _calendar("hour"), "produced_at"),
            ("weekday", _calendar("day_of_week"), "produced_at"),
        ]
    )
    trees = HistGradientBoostingClassifier(
        max_iter=120, learning_rate=0.08, categorical_features=range(len(_NAMES)), random_state=_SEED
    )
    return make_pipeline(columns, trees)


def _calendar(part: str) -> Pipeline:
    """A column of times as one number.

    It uses only parts that any worker can import: an artifact that refers to a function of this file could be
    loaded only together with this version of the file.
    """
    return make_pipeline(
        FunctionTransformer(attrgetter(f"dt.{part}")), FunctionTransformer(methodcaller("to_frame"))
    )


def _production_table(rng: Generator) -> pd.DataFrame:
    seconds = np.sort(rng.integers(0, 180 * 86_400, _ROWS))
    produced_at = np.datetime64("2026-01-05T00:00:00", "us") + seconds.astype("m8[s]")
    hour = pd.DatetimeIndex(produced_at).hour.to_numpy()
    table = {
        "machine": rng.choice([f"IM-{n:02d}" for n in range(1, 9)], _ROWS),
        "product": rng.choice(["housing", "cap", "gear", "clip"], _ROWS, p=[0.4, 0.3, 0.2, 0.1]),
        "shift": np.select([hour < 6, hour < 14, hour < 22], ["night", "day", "evening"], "night"),
        "resin_lot": rng.choice(["A", "B", "C"], _ROWS),
        "melt_temperature_c": rng.normal(225, 8, _ROWS).round(1),
        "mold_temperature_c": rng.normal(60, 4, _ROWS).round(1),
        "torque_nm": rng.normal(48, 6, _ROWS).round(1),
        "pressure_bar": rng.normal(900, 60, _ROWS).round(0),
        "cycle_time_s": rng.gamma(60, 0.5, _ROWS).round(2),
        "operators": rng.integers(1, 5, _ROWS),
        "maintenance_due": rng.random(_ROWS) < 0.15,
        "produced_at": produced_at,
    }
    unrecorded = {"resin_lot": 0.08, "mold_temperature_c": 0.05, "torque_nm": 0.1}
    return pd.DataFrame(
        {name: _column(values, unrecorded.get(name, 0), rng) for name, values in table.items()}
    )


def _column(values: np.ndarray, unrecorded: float, rng: Generator) -> pd.Series:
    """A column as a predictor gets it: names as objects, NaN for missing values."""
    column = pd.Series(values, dtype=object if values.dtype.kind == "U" else values.dtype)
    return column.mask(rng.random(len(column)) < unrecorded) if unrecorded else column


def _defects(table: pd.DataFrame, rng: Generator) -> pd.Series:
    """Whether each part is defective: rules that a process engineer would recognise, and chance."""
    torque = table["torque_nm"].fillna(48)
    odds = (
        -6.2
        + 0.015 * (table["melt_temperature_c"] - 225) ** 2
        + 0.05 * (table["pressure_bar"] - 900).abs().where(table["product"] == "gear", 20)
        + 0.25 * (torque - 52).clip(lower=0)
        + 1.6 * table["maintenance_due"] * (torque > 50)
        + 1.2 * (table["machine"] == "IM-07")
        + 0.9 * (table["resin_lot"] == "C")
        + 0.7 * (table["shift"] == "night") * (table["operators"] == 1)
        + 0.5 * (table["produced_at"].dt.day_of_week == 0)
    )
    defects = rng.random(len(table)) < 1 / (1 + np.exp(-odds))
    return pd.Series(defects, index=table.index).astype(int)  # 0: ok, 1: defect


def _metrics(model: Pipeline, test: pd.DataFrame, truth: pd.Series) -> dict[str, float]:
    probability = model.predict_proba(test)[:, 1]
    found = probability >= 0.5
    measured = {
        "held_out_accuracy": accuracy_score(truth, found),
        "held_out_accuracy_of_always_ok": 1 - truth.mean(),
        "held_out_defect_recall": recall_score(truth, found),
        "held_out_roc_auc": roc_auc_score(truth, probability),
    }
    return {name: round(float(value), 4) for name, value in measured.items()}

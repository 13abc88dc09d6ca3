"""CatBoost: a native model (.cbm), or a pickled estimator of `catboost`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.specs import ModelSpec
from worker.frameworks.boosters import PICKLES, check_probabilities, made_by_pickle, unreadable
from worker.frameworks.feature_table import FeatureTable
from worker.predictors import scikit_learn
from worker.predictors.base import ModelRuntime
from worker.predictors.implementation import MadeBy, ModelFiles

_HEAD = b"CBM1"
_VERSION = re.compile(rb"(?:tags/v|CatBoost release )(\d+\.\d+(?:\.\d+)?)")
_SAVE = "save it with model.save_model('model.cbm')"


def load(spec: ModelSpec, files: ModelFiles, device: str, threads: int) -> ModelRuntime:
    """Raises ArtifactError if the file is no model, or does not fit the spec."""
    if files.artifact.name.lower().endswith(PICKLES):
        return scikit_learn.load(spec, files, device, threads)
    import catboost

    model = catboost.CatBoost()
    try:
        model.load_model(str(files.artifact))
    except catboost.CatBoostError as error:
        raise unreadable(files.artifact, "CatBoost", _SAVE, error) from error
    return runtime_of(spec, model, threads)


def runtime_of(spec: ModelSpec, model: Any, threads: int) -> ModelRuntime:  # Any: catboost has no types
    """Raises ArtifactError if the model does not fit the spec."""
    loss = str(model.get_all_params().get("loss_function", "custom"))
    classes = len(model.classes_) if model.classes_ is not None else 0
    check_probabilities(spec, classes=classes, objective=loss, needed="Logloss or MultiClass")
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise ArtifactError(
            "text and embedding features of CatBoost are not served: use the python framework"
        )
    table = FeatureTable(spec, model.feature_names_, len(model.feature_names_))
    categories = [table.columns[place] for place in model.get_cat_feature_indices()]
    return _CatBoost(spec, model, table, categories, threads)


def made_by(artifact: Path) -> MadeBy:
    """CatBoost writes a description of its release into the model."""
    if artifact.name.lower().endswith(PICKLES):
        return made_by_pickle(artifact)
    data = artifact.read_bytes()
    if not data.startswith(_HEAD):
        return MadeBy()
    found = _VERSION.search(data)
    version = found.group(1).decode() if found else ""
    return MadeBy({"catboost": version} if version else {}, {"catboost": "cbm1"})


class _CatBoost:
    def __init__(
        self, spec: ModelSpec, model: Any, table: FeatureTable, categories: list[str], threads: int
    ) -> None:
        self._model = model
        self._table = table
        self._categories = categories
        self._threads = threads
        self._kind = "Probability" if spec.classifies else "RawFormulaVal"
        loss = str(model.get_all_params().get("loss_function"))
        if not spec.classifies and loss.startswith(("Poisson", "Tweedie")):
            self._kind = "Exponent"

    def __call__(self, columns: Columns) -> Array:
        rows = self._frame(columns) if self._categories else self._table.array(columns)
        return np.asarray(self._model.predict(rows, prediction_type=self._kind, thread_count=self._threads))

    def _frame(self, columns: Columns) -> Any:  # Any: pandas is imported on first use
        """Categories are texts; a missing category is "nan", as CatBoost reads it from a DataFrame."""
        from worker.predictors.scikit_learn import as_frame

        frame = as_frame(columns, self._table.features, self._table.columns)
        for name in self._categories:
            frame[name] = frame[name].map(str).astype(object)
        return frame

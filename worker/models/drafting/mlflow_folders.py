"""The facts of an MLflow model directory: its flavor, its signature and its input example."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from shared.errors import ArtifactError
from shared.input_specs import InputType
from shared.output_specs import OutputType, View
from worker.frameworks.mlflow import document_of, load_flavor, signature_part
from worker.models.drafting import estimators
from worker.models.drafting.artifact_facts import DraftError, DraftFacts, DraftOutput, Feature, value_outputs
from worker.models.drafting.drafted_boosters import booster_facts
from worker.models.drafting.sample_tables import Sample

_MLMODEL = "MLmodel"
_ESTIMATORS = ("sklearn", "xgboost", "lightgbm", "catboost")
_INPUTS = {
    "double": InputType.FLOAT,
    "float": InputType.FLOAT32,
    "float64": InputType.FLOAT,
    "float32": InputType.FLOAT32,
    "long": InputType.INT64,
    "integer": InputType.INT64,
    "int64": InputType.INT64,
    "string": InputType.STRING,
    "boolean": InputType.BOOL,
    "datetime": InputType.DATETIME,
}
_OUTPUTS = {"long": OutputType.INT64, "integer": OutputType.INT64, "string": OutputType.STRING}
_OUTPUTS |= {"boolean": OutputType.BOOL}


def facts_of(folder: Path) -> DraftFacts:
    """Raises DraftError if it is no model directory, or if neither model nor signature says enough."""
    document = _document(folder)
    flavors = document["flavors"]
    features = _features(_part(document, "inputs"))
    known = next((flavor for flavor in _ESTIMATORS if flavor in flavors), None)
    own = _by_flavor(known, folder) if known else _by_signature(document, features)
    named = features if features and (not own.is_named or not own.features) else own.features
    is_named = own.is_named or bool(features)
    return replace(
        own, framework="mlflow", features=named, is_named=is_named, rows=_example(folder, document)
    )


def _document(folder: Path) -> dict[str, Any]:  # Any: YAML
    try:
        return document_of(folder)
    except ArtifactError as error:
        raise DraftError(error.detail) from error


def _part(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The columns or tensors of a signature, which is JSON text."""
    try:
        return signature_part(document, name)
    except ArtifactError as error:
        raise DraftError(error.detail) from error


def _features(columns: Sequence[Mapping[str, Any]]) -> tuple[Feature, ...]:
    return tuple(
        _tensor(column) if column.get("type") == "tensor" else Feature(str(column["name"]), _type(column))
        for column in columns
        if column.get("type") == "tensor" or "name" in column
    )


def _tensor(column: Mapping[str, Any]) -> Feature:
    spec = column["tensor-spec"]
    kind = _INPUTS.get(spec["dtype"], InputType.FLOAT)
    return Feature(str(column.get("name") or "x"), kind, shape=tuple(spec["shape"][1:]))


def _type(column: Mapping[str, Any]) -> InputType | None:
    return _INPUTS.get(str(column.get("type")))


def _by_flavor(flavor: str, folder: Path) -> DraftFacts:
    """Opening runs the code in the directory."""
    try:
        model = load_flavor(flavor, folder, remedy="give {file} with --code")
    except ArtifactError as error:
        raise DraftError(error.detail) from error
    return booster_facts(model) or estimators.estimator_facts(model)


def _by_signature(document: Mapping[str, Any], features: Sequence[Feature]) -> DraftFacts:
    """Any other flavor: only its signature describes inputs and outputs."""
    answers = _part(document, "outputs")
    if not features or not answers:
        raise DraftError(
            f"the flavors {', '.join(document['flavors'])} need a signature with inputs and outputs: save "
            "the model with signature=mlflow.models.infer_signature(rows, answers)"
        )
    return DraftFacts("mlflow", tuple(features), tuple(map(_output, answers)))


def _output(answer: Mapping[str, Any]) -> DraftOutput:
    if answer.get("type") == "tensor":
        shape = tuple(answer["tensor-spec"]["shape"][1:])
        return replace(value_outputs()[0], view=View.TENSOR, shape=shape) if shape else value_outputs()[0]
    kind = _OUTPUTS.get(str(answer.get("type")))
    return DraftOutput(str(answer.get("name") or "value"), View.VALUE, type=kind)


def _example(folder: Path, document: Mapping[str, Any]) -> Sample | None:
    """The rows that were stored with the model as its input example."""
    info = document.get("saved_input_example_info") or {}
    if info.get("type") != "dataframe":
        return None
    try:
        stored = json.loads((folder / info["artifact_path"]).read_text(encoding="utf-8"))
        return Sample(pd.DataFrame(stored["data"], columns=stored["columns"]))
    except (OSError, ValueError, KeyError):
        return None

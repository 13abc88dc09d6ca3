"""Checks a loaded model's probabilities and labels on rows that its spec allows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import structlog

from shared.columns import Array, Columns, of_rows, row_count, take
from shared.errors import ArtifactError
from shared.input_specs import InputType
from worker.predictors.base import ModelRuntime, Predictor
from worker.predictors.comparison_rows import probes
from worker.predictors.compiled import CompilableRuntime
from worker.predictors.estimator_answers import prediction_of
from worker.predictors.labels import LabelRule
from worker.predictors.probabilities import probability_problem, tolerance_of
from worker.predictors.scikit_learn import ScikitLearn
from worker.predictors.separate_labels import probabilities_of

log = structlog.get_logger()

_MOST_ROWS = 512
_MOST_VALUES = 1024  # of a row: for images only golden rows and the example are run
_NUMBERS = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64)
_BISECTIONS = 12
_PAIRS = 16


def check_loaded(predictor: Predictor) -> None:
    """Check the probabilities, and switch to the labels of `predict` if they differ from the probabilities'.

    Raises ArtifactError if the model's numbers are not probabilities.
    """
    native = prediction_of(predictor.runtime)
    if not predictor.spec.classifies or native is None:
        return
    rows = _rows(predictor, native)
    if problem := _probability_problem(predictor, native, rows):
        raise ArtifactError(f"{predictor.version.artifact}: probe rows: {problem}")
    if isinstance(native, ScikitLearn) and native.label_rule in (LabelRule.ARGMAX, LabelRule.SCORES):
        _check_labels(predictor, native, rows)


def _rows(predictor: Predictor, native: ModelRuntime) -> Columns:
    """Rows within the ranges of the spec; golden rows and the example if the ranges are unknown."""
    spec = predictor.spec
    features = native.features if isinstance(native, CompilableRuntime) else spec.input_names
    inputs = [one for one in spec.inputs if one.name in features]
    fixed = all(i.type in _NUMBERS and not i.is_sequence for i in inputs)
    if fixed and sum(i.size for i in inputs) <= _MOST_VALUES:
        found = probes(spec, features, {})
        spread = np.random.default_rng(1).permutation(row_count(found))[:_MOST_ROWS]
        return {name: values[np.sort(spread)] for name, values in found.items()}
    return of_rows(spec, [*spec.golden_inputs(), spec.example_row()])


def _probability_problem(predictor: Predictor, native: ModelRuntime, rows: Columns) -> str | None:
    """A problem with the probabilities of most rows, or with values outside [0, 1] in any row.

    A model may refuse some of these rows or have no answer for them; their calls fail separately.
    """
    try:
        raw = np.asarray(native(predictor.decoded(rows)))
    except Exception as error:  # a model may raise anything
        log.info("probe_rows_failed", model=predictor.key, reason=str(error)[:200])
        return None
    probabilities = probabilities_of(raw)
    if probabilities is None or probabilities.ndim != 2 or probabilities.dtype.kind != "f":
        return None
    return _worst(probabilities)


def _worst(probabilities: Array) -> str | None:
    tolerance = tolerance_of(probabilities.dtype)
    finite = probabilities[np.isfinite(probabilities).all(axis=1)].astype(np.float64)
    outside = finite[(finite < -tolerance).any(axis=1) | (finite > 1 + tolerance).any(axis=1)]
    if len(outside):
        return probability_problem(outside[:1], tolerance)
    wrong = finite[np.abs(finite.sum(axis=1) - 1) > tolerance]
    return probability_problem(wrong[:1], tolerance) if 2 * len(wrong) > len(probabilities) else None


def _check_labels(predictor: Predictor, native: ScikitLearn, rows: Columns) -> None:
    try:
        differing = sum(_differing(native, some) for some in (rows, _between(native, rows)))
    except Exception as error:  # a model may raise anything
        log.info("probe_rows_failed", model=predictor.key, reason=str(error)[:200])
        return
    if differing:
        native.distrust_probabilities()
        log.warning("labels_from_predict", model=predictor.key, differing_rows=differing)


def _differing(native: ScikitLearn, rows: Columns) -> int:
    """Number of rows for which `predict` differs from the class that a prediction shows."""
    if not row_count(rows):
        return 0
    return int(np.count_nonzero(native.shown_classes(rows) != native.predicted_classes(rows)))


def _between(native: ScikitLearn, rows: Columns) -> Columns:
    """Rows near the boundaries between classes, found by bisection between pairs of rows."""
    numbers = native.shown_classes(rows)
    pairs = [(n, m) for n, m in pairwise(range(len(numbers))) if numbers[n] != numbers[m]][:_PAIRS]
    if not pairs or any(values.dtype.kind != "f" for values in rows.values()):
        return take(rows, 0, 0)
    one, other = ({name: v[[p[side] for p in pairs]] for name, v in rows.items()} for side in (0, 1))
    first = numbers[[n for n, _ in pairs]]
    for _ in range(_BISECTIONS):
        middle = {name: (one[name] + other[name]) / 2 for name in one}
        same = native.shown_classes(middle) == first
        one = {name: _where(same, middle[name], one[name]) for name in one}
        other = {name: _where(same, other[name], middle[name]) for name in one}
    return {name: np.concatenate([one[name], other[name]]) for name in one}


def _where(chosen: Array, one: Array, other: Array) -> Array:
    shaped = chosen.reshape(-1, *(1,) * (one.ndim - 1))
    return np.where(shaped, one, other).astype(one.dtype)

"""Decides whether an estimator gets a DataFrame, an array or texts, by the input that it was fitted on.

Its kind and input are in its tags, which have another form before scikit-learn 1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from shared.errors import ArtifactError
from shared.input_specs import InputType
from shared.specs import ModelSpec

_NUMBERS = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64)
_MADE_UP = re.compile(r"(Column_|f|x|feature_|)(\d+)")
"""Column names that LightGBM, XGBoost, CatBoost and others generate for an array."""


@dataclass(frozen=True)
class EstimatorInput:
    """`names`: the inputs that are the columns of the DataFrame, or None for an array. `columns`: the names
    of these columns. `texts`: the values of the only input, a text for each row. `other`: the form to try if
    the first call fails and the estimator does not show which
    form is right."""

    names: list[str] | None
    columns: list[str] = field(default_factory=list)
    other: EstimatorInput | None = None
    texts: bool = False


def input_of(spec: ModelSpec, estimator: Any) -> EstimatorInput:  # Any: sklearn has no types
    """The form given in the spec; otherwise the form on which the estimator, or a part of it, was fitted.

    Raises ArtifactError if the estimator was fitted with a column that is no input.
    """
    match spec.estimator_input:
        case "auto" if _takes_texts(spec, estimator):
            return EstimatorInput(None, texts=True)
        case "auto":
            return _fitted_input(spec, estimator)
        case "texts":
            return EstimatorInput(None, texts=True)
        case "array":
            return EstimatorInput(None)
        case "dataframe":
            return _frame(spec, fitted_names(spec, estimator) or spec.column_names)


def _fitted_input(spec: ModelSpec, estimator: Any) -> EstimatorInput:
    frame, array = _frame(spec, spec.column_names), EstimatorInput(None)
    own = fitted_names(spec, estimator)
    if own is not None:
        return _frame(spec, own)
    if not all(i.type in _NUMBERS for i in spec.inputs):
        return frame
    inside = list(parts(estimator, set()))
    if all(type(part).__module__.startswith("sklearn.") for part in inside) and not _named(spec, inside):
        return array
    if not _takes_columns(estimator) or any(i.shape for i in spec.inputs):
        return array
    first, other = (array, frame) if not _named(spec, inside) else (frame, array)
    return replace(first, other=other)


def _frame(spec: ModelSpec, columns: list[str]) -> EstimatorInput:
    """A DataFrame with these columns, which are named as the estimator names them."""
    return EstimatorInput([_input_name(spec, column) for column in columns], columns)


def _input_name(spec: ModelSpec, column: str) -> str:
    exact = next((i for i in spec.inputs if i.column_name == column), None)
    found = exact or spec.input_of_column(column)
    if found is None:
        raise ArtifactError(f"the estimator was fitted with {column!r}, which is no input of the spec")
    return found.name


def fitted_names(spec: ModelSpec, estimator: Any) -> list[str] | None:
    """The names that the estimator was fitted with, unless its library generated them for an array."""
    found = getattr(estimator, "feature_names_in_", None)
    if found is None:
        return None
    names = [str(name) for name in found]
    return None if made_up_names(names, spec.column_names) else names


def _takes_texts(spec: ModelSpec, estimator: Any) -> bool:
    """Whether the estimator begins with a vectorizer of texts, which takes no table."""
    only_text = len(spec.inputs) == 1 and spec.inputs[0].type is InputType.STRING
    return only_text and all(takes_texts(step) for step in _first_steps(estimator))


def _first_steps(estimator: Any) -> Iterator[Any]:
    """The estimators that get the input of an estimator unchanged."""
    from sklearn.pipeline import FeatureUnion, Pipeline

    inside = getattr(estimator, "best_estimator_", None)  # of a search over parameters
    if inside is not None:
        yield from _first_steps(inside)
    elif isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        yield from _first_steps(steps[0])
    elif isinstance(estimator, FeatureUnion):
        for _, transformer in estimator.transformer_list:
            yield from _first_steps(transformer)
    else:
        yield estimator


def parts(thing: object, seen: set[int]) -> Iterator[Any]:
    """Every estimator inside an estimator, including fitted ones, which `get_params` does not return."""
    from sklearn.base import BaseEstimator

    if id(thing) in seen:
        return
    seen.add(id(thing))
    inside: Any = ()
    if isinstance(thing, BaseEstimator):
        yield thing
        inside = vars(thing).values()
    elif isinstance(thing, dict):
        inside = thing.values()
    elif isinstance(thing, list | tuple):
        inside = thing
    for part in inside:
        yield from parts(part, seen)


def made_up_names(names: list[str], inputs: list[str]) -> bool:
    """Whether a library generated the names for an array without names."""
    matches = [_MADE_UP.fullmatch(name) for name in names]
    numbers = [int(match.group(2)) for match in matches if match]
    in_order = numbers in (list(range(len(names))), list(range(1, len(names) + 1)))
    return in_order and len(names) == len(inputs) and not set(names) & set(inputs)


def _named(spec: ModelSpec, inside: list[Any]) -> bool:
    """Whether a part was fitted on named columns."""
    return any(fitted_names(spec, part) is not None for part in inside)


def _takes_columns(estimator: Any) -> bool:
    """Whether it passes its input on unchanged, so that its own fit did not see names: a Pipeline, or an
    estimator that wraps a Pipeline."""
    from sklearn.pipeline import FeatureUnion, Pipeline

    return any(isinstance(part, Pipeline | FeatureUnion) for part in parts(estimator, set()))


def estimator_type(estimator: Any) -> str | None:  # Any: sklearn has no types
    """`classifier`, `regressor`, `outlier_detector`, `clusterer` or None."""
    try:
        from sklearn.utils import get_tags

        found: str | None = get_tags(estimator).estimator_type
    except Exception:  # before 1.6, or an estimator that is not derived from scikit-learn's
        found = None
    return found or getattr(estimator, "_estimator_type", None)


def takes_texts(estimator: Any) -> bool:
    """Whether it takes a list of texts, as a vectorizer does, and no table."""
    if hasattr(estimator, "__sklearn_tags__"):
        tags = estimator.__sklearn_tags__().input_tags
        return bool(tags.string and not tags.two_d_array)
    if hasattr(estimator, "_get_tags"):
        kinds = estimator._get_tags()["X_types"]
        return "string" in kinds and "2darray" not in kinds
    return False

"""The facts of a fitted scikit-learn estimator or Pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import ArtifactError
from shared.frameworks.builtin import ScikitLearnOptions
from shared.input_specs import InputType
from shared.output_specs import OutputType, View
from worker.models.drafting.artifact_facts import (
    DraftError,
    DraftFacts,
    DraftOutput,
    Feature,
    class_outputs,
    value_outputs,
)
from worker.models.drafting.drafted_boosters import booster_facts
from worker.predictors.estimator_input import estimator_type, takes_texts
from worker.predictors.pickles import check_estimator, open_pickle

MOST_SINGLE_FEATURES = 64
"""An estimator with more features that have no names gets a single tensor."""
_BOOSTERS = ("xgboost", "lightgbm", "catboost")
_OUTLIERS = ("outlier", "normal")


def open_estimator(path: Path) -> Any:  # Any: sklearn has no types
    """Opening runs the code in the file. Raises DraftError with advice."""
    try:
        return open_pickle(path, remedy="give {file} with --code")
    except ArtifactError as error:
        raise DraftError(error.detail) from error


def facts_of(path: Path) -> DraftFacts:
    """Raises DraftError if the file holds no fitted estimator or booster."""
    model = open_estimator(path)
    try:
        return booster_facts(model) or estimator_facts(model)
    except DraftError as error:
        raise DraftError(f"{path.name}: {error.detail}") from error


def skops_facts(path: Path, trusted: Sequence[str]) -> DraftFacts:
    """Raises DraftError if neither skops nor `trusted` has a type in the file."""
    from worker.predictors.skops_files import open_skops

    try:
        options = ScikitLearnOptions(trusted=tuple(trusted))
        estimator = open_skops(path, options, remedy="name each with --trust")
    except ArtifactError as error:
        raise DraftError(error.detail) from error
    table = {"trusted": list(trusted)} if trusted else {}
    return replace(estimator_facts(estimator), options=table)


def estimator_facts(estimator: Any) -> DraftFacts:
    """Raises DraftError if it is no fitted estimator."""
    try:
        check_estimator(estimator)
    except ArtifactError as error:
        raise DraftError(error.detail) from error
    features = _features(estimator)
    outputs, classes = _outputs(estimator)
    return DraftFacts(
        framework=_framework(estimator),
        features=features,
        outputs=outputs,
        classes=classes,
        count=None if features else getattr(estimator, "n_features_in_", None),
        is_named=hasattr(estimator, "feature_names_in_"),
    )


def _framework(estimator: Any) -> str:
    """Boosters have wrappers for scikit-learn; a Pipeline with such a wrapper is scikit-learn's."""
    library = type(estimator).__module__.partition(".")[0]
    return library if library in _BOOSTERS else "scikit-learn"


def _features(estimator: Any) -> tuple[Feature, ...]:
    if _takes_texts(estimator):
        return (Feature("text", InputType.STRING, typical="text", is_text=True),)
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return ()
    known = {feature.column: feature for feature in _of_parts(estimator)}
    return tuple(known.get(str(name), Feature(str(name))) for name in names)


def _takes_texts(estimator: Any) -> bool:
    """Whether it begins with a vectorizer of texts, which takes a list of texts instead of a table."""
    return takes_texts(_first_step(estimator))


def _first_step(estimator: Any) -> Any:
    inside = getattr(estimator, "best_estimator_", estimator)
    steps = [step for _, step in getattr(inside, "steps", ()) if step not in (None, "passthrough")]
    return _first_step(steps[0]) if steps else inside


def _last_step(estimator: Any) -> Any:
    inside = getattr(estimator, "best_estimator_", estimator)
    return _last_step(inside.steps[-1][1]) if getattr(inside, "steps", None) else inside


def _of_parts(estimator: Any) -> Iterator[Feature]:
    """The features that a ColumnTransformer or a first step describes: encoders and scalers."""
    first = _first_step(estimator)
    for transformer, columns in _assignments(first):
        names = [columns] if isinstance(columns, str) else list(columns)
        if all(isinstance(name, str) for name in names):
            yield from _of_transformer(transformer, names)


def _assignments(first: Any) -> Iterator[tuple[Any, Any]]:
    """Each fitted transformer and the columns that it gets."""
    if hasattr(first, "transformers_"):
        for _, transformer, columns in first.transformers_:
            if transformer not in ("drop", "passthrough"):
                yield transformer, columns
    elif hasattr(first, "feature_names_in_"):
        yield first, [str(name) for name in first.feature_names_in_]


def _of_transformer(transformer: Any, names: list[str]) -> Iterator[Feature]:
    """The first fact that a transformer, or the steps of a Pipeline, records of each column."""
    steps = [step for _, step in getattr(transformer, "steps", (("", transformer),))]
    for place, name in enumerate(names):
        if _takes_texts(transformer):
            yield Feature(name, InputType.STRING, typical="text", is_text=True)
            continue
        found = next(filter(None, (_of_step(step, name, place, len(names)) for step in steps)), None)
        yield found or Feature(name)


def _of_step(step: Any, name: str, place: int, width: int) -> Feature | None:
    categories = getattr(step, "categories_", None)
    if categories is not None and len(categories) == width:
        return _of_categories(step, name, categories[place])
    for attribute in ("mean_", "center_", "statistics_", "data_min_"):
        values = getattr(step, attribute, None)
        if values is not None and len(values) == width and isinstance(values[place], float | np.floating):
            return Feature(name, InputType.FLOAT, typical=round(float(values[place]), 6))
    return None


def _of_categories(encoder: Any, name: str, categories: Any) -> Feature | None:
    known = [value.item() if isinstance(value, np.generic) else value for value in categories]
    known = [value for value in known if isinstance(value, str | int)]  # a missing value is a category too
    closed = getattr(encoder, "handle_unknown", "error") == "error"
    if known and all(isinstance(value, str) for value in known):
        return Feature(name, InputType.STRING, categories=tuple(known), is_closed=closed, typical=known[0])
    if known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return Feature(name, InputType.INT64, categories=tuple(known), is_closed=closed, typical=known[0])
    return None


def _outputs(estimator: Any) -> tuple[tuple[DraftOutput, ...], tuple[str, ...]]:
    """The outputs, and the names of the classes."""
    if not hasattr(estimator, "predict"):
        return _transformed(estimator), ()
    if estimator_type(estimator) == "outlier_detector":
        return _of_outliers(estimator), _OUTLIERS
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) and np.ndim(classes[0]):
        return _of_several(classes, probabilities=hasattr(estimator, "predict_proba")), ()
    if classes is not None:
        probabilities = hasattr(estimator, "predict_proba")
        return class_outputs(probabilities=probabilities), tuple(map(_class_name, classes))
    if estimator_type(estimator) == "clusterer":
        return _of_clusters(estimator), ()
    return value_outputs(_width(estimator)), ()


def _of_outliers(estimator: Any) -> tuple[DraftOutput, ...]:
    label = DraftOutput("prediction", View.LABEL, description="outlier, or normal")
    if not hasattr(estimator, "score_samples"):
        return (label,)
    about = "The lower, the more abnormal"
    return (label, DraftOutput("score", View.VALUE, method="score_samples", description=about))


def _of_clusters(estimator: Any) -> tuple[DraftOutput, ...]:
    number = DraftOutput("cluster", View.VALUE, type=OutputType.INT64, description="Number of the cluster")
    centers = getattr(_last_step(estimator), "cluster_centers_", None)
    if centers is None or not hasattr(estimator, "transform"):
        return (number,)
    about = "Distance from each cluster's center"
    return (
        number,
        DraftOutput("distances", View.TENSOR, method="transform", shape=(len(centers),), description=about),
    )


def _of_several(classes: Any, *, probabilities: bool) -> tuple[DraftOutput, ...]:
    """The outputs of a classifier that predicts several classes per row."""
    return tuple(
        replace(output, name=f"{output.name}_{place}", column=place, classes=tuple(map(_class_name, own)))
        for place, own in enumerate(classes)
        for output in class_outputs(probabilities=probabilities)
    )


def _transformed(estimator: Any) -> tuple[DraftOutput, ...]:
    try:
        width = len(estimator.get_feature_names_out())
    except Exception as error:  # an estimator of one's own may not have it
        raise DraftError(
            f"{type(estimator).__name__} does not record the number of its outputs: write model.toml by hand "
            "(docs/own-model.md)"
        ) from error
    about = "The transformed row"
    return (DraftOutput("transformed", View.TENSOR, method="transform", shape=(width,), description=about),)


def _width(estimator: Any) -> int:
    """The number of values per row of a regression."""
    last = _last_step(estimator)
    for attribute in ("n_outputs_", "n_targets_"):
        if isinstance(found := getattr(last, attribute, None), int):
            return found
    coefficients = np.asarray(getattr(last, "coef_", 0))
    return len(coefficients) if coefficients.ndim == 2 else 1


def _class_name(value: Any) -> str:
    """`0` for 0 and 0.0."""
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value) if is_whole else value)

"""The facts of native boosters: XGBoost's JSON and UBJSON, LightGBM's text, CatBoost's binary file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.input_specs import InputType
from shared.output_specs import View
from worker.frameworks.boosters import unreadable
from worker.models.drafting.artifact_facts import (
    DraftError,
    DraftFacts,
    DraftOutput,
    Feature,
    class_outputs,
    value_outputs,
)
from worker.predictors.estimator_input import made_up_names

_XGBOOST_CLASSES = ("binary:logistic", "multi:softprob")
_LIGHTGBM_CLASSES = ("binary", "multiclass", "multiclassova")
_RANGE = re.compile(r"\[(?P<least>[^:\]]+):(?P<greatest>[^:\]]+)\]")


def xgboost_facts(path: Path) -> DraftFacts:
    """Raises DraftError if XGBoost cannot read the file."""
    import xgboost

    booster = xgboost.Booster({"verbosity": 0})
    try:
        booster.load_model(path)
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise _unreadable(path, "XGBoost", "save it with booster.save_model('model.json')", error) from error
    return _of_xgboost(booster)


def _of_xgboost(booster: Any) -> DraftFacts:
    learner = json.loads(booster.save_config())["learner"]
    objective, sizes = learner["objective"]["name"], learner["learner_model_param"]
    classes = 2 if objective == "binary:logistic" else int(sizes["num_class"])
    classes = classes if objective in _XGBOOST_CLASSES else 0
    return _facts(
        "xgboost",
        list(_xgboost_features(booster)),
        count=booster.num_features(),
        classes=classes,
        values=_label(objective) or value_outputs(int(sizes.get("num_target", 1))),
    )


def _label(objective: str) -> tuple[DraftOutput, ...]:
    """`multi:softmax` answers the number of the class, without probabilities."""
    if objective != "multi:softmax":
        return ()
    return (DraftOutput("class_number", View.VALUE, description="Number of the predicted class"),)


def _xgboost_features(booster: Any) -> Iterator[Feature]:
    """XGBoost records categories since release 3.1, and refuses others."""
    kinds = booster.feature_types or []
    categories = _xgboost_categories(booster) if "c" in kinds else {}
    typical = _xgboost_thresholds(booster)
    for place, name in enumerate(booster.feature_names or ()):
        if kinds and kinds[place] == "c":
            own = categories.get(name, ())
            kind = InputType.STRING if all(isinstance(one, str) for one in own) else InputType.INT64
            yield Feature(name, kind, categories=own, is_closed=bool(own), typical=own[0] if own else None)
        else:
            yield Feature(name, typical=typical.get(name))


def _xgboost_categories(booster: Any) -> dict[str, tuple[Any, ...]]:
    if not hasattr(booster, "get_categories"):
        return {}
    found = booster.get_categories(export_to_arrow=True).to_arrow()
    return {name: tuple(values.to_pylist()) for name, values in found if values is not None}


def _xgboost_thresholds(booster: Any) -> dict[str, float]:
    """The median threshold of each feature: a value that it may have."""
    try:
        nodes = booster.trees_to_dataframe()
    except ValueError:  # a linear booster has no trees
        return {}
    splits = nodes[nodes["Feature"] != "Leaf"].dropna(subset=["Split"])
    medians = splits.groupby("Feature")["Split"].median()
    return {name: round(float(value), 6) for name, value in medians.items()}


def lightgbm_facts(path: Path) -> DraftFacts:
    """Raises DraftError if LightGBM cannot read the file."""
    import lightgbm

    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("tree\n"):
        raise DraftError(
            f"{path.name} is no model of LightGBM as text: save it with booster.save_model('model.txt')"
        )
    if "\nend of trees" not in text:  # LightGBM ends the process for some cut files
        raise DraftError(f"{path.name} is cut off before its last tree: copy it again")
    try:
        booster = lightgbm.Booster(model_str=text)
    except Exception as error:  # lightgbm raises several types for a damaged file
        raise _unreadable(path, "LightGBM", "save it with booster.save_model('model.txt')", error) from error
    return _of_lightgbm(booster)


def _of_lightgbm(booster: Any) -> DraftFacts:
    text = booster.model_to_string()
    objective = (re.search(r"^objective=(\S+)", text, re.MULTILINE) or ["", "custom"])[1]
    classes = 2 if objective == "binary" else booster.num_model_per_iteration()
    return _facts(
        "lightgbm",
        list(_lightgbm_features(booster.feature_name(), text)),
        count=booster.num_feature(),
        classes=classes if objective in _LIGHTGBM_CLASSES else 0,
        values=value_outputs(),
    )


def _lightgbm_features(names: Sequence[str], text: str) -> Iterator[Feature]:
    """LightGBM records the range of each feature, and the categories of pandas' categorical columns."""
    found = re.search(r"^feature_infos=(.*)$", text, re.MULTILINE)
    infos = found.group(1).split() if found else []
    listed = re.search(r"^pandas_categorical:(.*)$", text, re.MULTILINE)
    categories = iter(json.loads(listed.group(1)) or [] if listed else [])
    for place, name in enumerate(names):
        info = infos[place] if place < len(infos) else "none"
        bounds = _RANGE.fullmatch(info)
        if bounds:
            middle = (float(bounds["least"]) + float(bounds["greatest"])) / 2
            yield Feature(name, typical=round(middle, 6))
        else:
            own = tuple(next(categories, [])) if info != "none" else ()
            kind = InputType.STRING if own and all(isinstance(one, str) for one in own) else None
            yield Feature(name, kind, categories=own, typical=own[0] if own else None)


def catboost_facts(path: Path) -> DraftFacts:
    """Raises DraftError if CatBoost cannot read the file."""
    import catboost

    model = catboost.CatBoost()
    try:
        model.load_model(str(path))
    except catboost.CatBoostError as error:
        raise _unreadable(path, "CatBoost", "save it with model.save_model('model.cbm')", error) from error
    return _of_catboost(model)


def _of_catboost(model: Any) -> DraftFacts:
    """CatBoost records the names of classes, and no categories: every text is one."""
    texts = set(model.get_cat_feature_indices())
    borders = model.get_borders() if model.tree_count_ else {}
    names = model.feature_names_
    features = []
    for place, name in enumerate(names):
        values = borders.get(place)
        middle = round(float(values[len(values) // 2]), 6) if values is not None and len(values) else None
        kind = InputType.STRING if place in texts else None
        features.append(Feature(str(name), kind, typical="none" if place in texts else middle))
    classes = tuple(map(str, model.classes_)) if model.classes_ is not None else ()
    facts = _facts("catboost", features, count=len(names), classes=len(classes), values=value_outputs())
    return replace(facts, classes=classes)


def booster_facts(model: Any) -> DraftFacts | None:
    """The facts of an opened booster; None: it is another object, such as a wrapper for scikit-learn."""
    kinds = {
        "xgboost.core.Booster": _of_xgboost,
        "lightgbm.basic.Booster": _of_lightgbm,
    }
    kind = type(model)
    if kind.__module__ == "catboost.core":
        return _of_catboost(model)
    read = kinds.get(f"{kind.__module__}.{kind.__name__}")
    return read(model) if read else None


def _facts(
    framework: str, features: Sequence[Feature], *, count: int, classes: int, values: tuple[DraftOutput, ...]
) -> DraftFacts:
    """Names that the library made up for an array are no names."""
    names = [feature.column for feature in features]
    named = bool(names) and not made_up_names(names, [""] * len(names))
    return DraftFacts(
        framework,
        tuple(features) if named else (),
        class_outputs(probabilities=True) if classes else values,
        classes=tuple(map(str, range(classes))),
        count=count,
        is_named=named,
    )


def _unreadable(path: Path, library: str, advice: str, error: Exception) -> DraftError:
    return DraftError(unreadable(path, library, advice, error).detail)

"""Compiled models: kernels with the same answers as the library, bit for bit, without its overhead per call.

Every kernel is compared with the native model each time a model is loaded
(`worker/predictors/equivalence.py`), so this package need not know every release and option: a kernel that
differs is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from shared.columns import Array, Columns
from shared.specs import ModelSpec
from worker.predictors.compiled.boosting import compile_boosting, compile_histogram_boosting
from worker.predictors.compiled.kernels import Compiled, Kernel, NotCompiledError
from worker.predictors.compiled.lightgbm_trees import compile_lightgbm
from worker.predictors.compiled.linear import compile_linear
from worker.predictors.compiled.trees import compile_trees
from worker.predictors.compiled.xgboost_trees import compile_xgboost

__all__ = ["Compiled", "Kernel", "NotCompiledError", "compile_estimator"]

_LINEAR = ("LogisticRegression", "LinearRegression", "Ridge", "Lasso", "ElasticNet")
_COMPILERS: Mapping[str, Callable[[Any], Compiled]] = {
    "DecisionTreeClassifier": compile_trees,
    "DecisionTreeRegressor": compile_trees,
    "RandomForestClassifier": compile_trees,
    "RandomForestRegressor": compile_trees,
    "ExtraTreesClassifier": compile_trees,
    "ExtraTreesRegressor": compile_trees,
    "GradientBoostingClassifier": compile_boosting,
    "GradientBoostingRegressor": compile_boosting,
    "HistGradientBoostingClassifier": compile_histogram_boosting,
    "HistGradientBoostingRegressor": compile_histogram_boosting,
} | dict.fromkeys(_LINEAR, compile_linear)


def compile_estimator(estimator: Any, *, probabilities: bool) -> Compiled:
    """Compile a fitted estimator, for its probabilities or for its values. Raises NotCompiledError.

    Only classes of the libraries: derived classes may behave differently. (Any: they have no types.)
    """
    if compiled := _compile_booster(estimator, probabilities=probabilities):
        return compiled
    name = _name(estimator)
    if name == "Pipeline":
        return _compile_pipeline(estimator, probabilities=probabilities)
    if name not in _COMPILERS:
        raise NotCompiledError(f"{type(estimator).__name__} is not compiled")
    if hasattr(estimator, "classes_") and not probabilities:
        raise NotCompiledError("a classifier's labels are not compiled, only its probabilities")
    return _COMPILERS[name](estimator)


def _compile_booster(estimator: Any, *, probabilities: bool) -> Compiled | None:
    """The scikit-learn wrappers of XGBoost and LightGBM; None: it is another estimator."""
    kind = type(estimator)
    is_classifier = kind.__name__.endswith("Classifier")
    if kind.__module__ not in ("xgboost.sklearn", "lightgbm.sklearn"):
        return None
    if is_classifier and not probabilities:
        raise NotCompiledError("a classifier's labels are not compiled, only its probabilities")
    if kind.__module__ == "xgboost.sklearn":
        _, iterations = estimator._get_iteration_range(None)
        return compile_xgboost(estimator.get_booster(), iterations, as_classes=is_classifier)
    return compile_lightgbm(estimator.booster_, as_classes=is_classifier)


def _compile_pipeline(pipeline: Any, *, probabilities: bool) -> Compiled:
    steps = [step for _, step in pipeline.steps if step is not None and step != "passthrough"]
    *before, last = steps
    if not before:
        return compile_estimator(last, probabilities=probabilities)
    strange = [step for step in before if _name(step) != "StandardScaler"]
    if strange or _name(last) not in _LINEAR:
        odd = type(strange[0] if strange else last).__name__
        raise NotCompiledError(f"a Pipeline with {odd} is not compiled")
    if hasattr(last, "classes_") and not probabilities:
        raise NotCompiledError("a classifier's labels are not compiled, only its probabilities")
    return compile_linear(last, before)


def _name(estimator: object) -> str:
    """The name of a class of scikit-learn; an empty string for other classes."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else ""


@runtime_checkable
class CompilableRuntime(Protocol):
    """A model with one answer over rows of numbers."""

    @property
    def features(self) -> list[str]:
        """The inputs that the model takes, in its order."""

    @property
    def takes_missing(self) -> bool:
        """Whether it and its kernels answer rows with NaN."""

    def __call__(self, columns: Columns, /) -> Array: ...

    def compiled(self, spec: ModelSpec) -> Compiled:
        """Its kernels. Raises NotCompiledError, and any exception of the compiler."""

    def limit_threads(self) -> None:
        """Limit the CPU threads of calls by this thread."""

    def rows(self, columns: Columns) -> Array:
        """The array that its kernels compute with."""

    def labelled(self, columns: Columns, answer: Array, margin: float = 0.0) -> Array:
        """A kernel's answer. Probabilities that differ by less than `margin` get separate labels if the
        model decides them otherwise."""

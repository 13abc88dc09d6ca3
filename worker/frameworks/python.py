"""Python: a class or module of the version with `load(folder)` and `predict(columns)`.

`load` gets the folder with all files of the version, once. `predict` gets a dict of arrays by the names of
the inputs and returns a dict of arrays by name, or a single array; the first axis is the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.frameworks.builtin import PythonOptions
from shared.specs import ModelSpec
from worker.predictors.answer_selection import MAIN, RawAnswer
from worker.predictors.base import ModelRuntime
from worker.predictors.implementation import MadeBy, ModelFiles


def load(spec: ModelSpec, files: ModelFiles, _device: str, _threads: int) -> ModelRuntime:
    """Raises ArtifactError if the class is missing or has no `predict`, and any exception of its code."""
    assert isinstance(spec.options, PythonOptions)
    module_name, _, class_name = spec.options.module.partition(":")
    module = files.import_module(module_name)
    model: Any = _instance(module, class_name) if class_name else module
    predict = getattr(model, "predict", None)
    if not callable(predict):
        raise ArtifactError(f"{spec.options.module} has no predict(columns): define it")
    if callable(getattr(model, "load", None)):
        model.load(files.folder)
    return _Model(predict)


def made_by(_artifact: Path) -> MadeBy:
    """Only the build knows which libraries its files need."""
    return MadeBy()


def _instance(module: ModuleType, name: str) -> object:
    kind = getattr(module, name, None)
    if not callable(kind):
        there = sorted(key for key, value in vars(module).items() if isinstance(value, type))
        raise ArtifactError(f"{module.__name__.rpartition('.')[2]}.py has no class {name!r}; it has: {there}")
    return kind()


class _Model:
    def __init__(self, predict: Callable[[Columns], Any]) -> None:
        self._predict = predict

    def __call__(self, columns: Columns) -> RawAnswer:
        answer = self._predict(columns)
        if isinstance(answer, Mapping):
            return {str(name): _values(value) for name, value in answer.items()}
        return {MAIN: np.asarray(answer)}


def _values(value: Any) -> Array | Sequence[Array]:
    is_of_columns = isinstance(value, list | tuple) and bool(value) and isinstance(value[0], np.ndarray)
    return value if is_of_columns else np.asarray(value)

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
from shared.safe_texts import first_of, foreign_words
from shared.specs import ModelSpec
from worker.predictors.answer_selection import MAIN, RawAnswer
from worker.predictors.base import ModelRuntime
from worker.predictors.implementation import MadeBy, ModelFiles


def load(spec: ModelSpec, files: ModelFiles, _device: str, _threads: int) -> ModelRuntime:
    """Raises ArtifactError if the class is missing or has no `predict`, and any exception of its code."""
    assert isinstance(spec.options, PythonOptions)
    module_name, _, class_name = spec.options.module.partition(":")
    module = _imported(files, module_name)
    model: Any = _instance(module, class_name) if class_name else module
    predict = getattr(model, "predict", None)
    if not callable(predict):
        raise ArtifactError(f"{spec.options.module} has no predict(columns): define it")
    if callable(getattr(model, "load", None)):
        _load(model, files.folder)
    return _Model(predict)


def _imported(files: ModelFiles, name: str) -> ModuleType:
    try:
        return files.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise ArtifactError(
            f"{name}.py needs the module {missing!r}: put {missing}.py beside model.toml and build again, or "
            "install the package that has it in the worker's environment"
        ) from error
    except ArtifactError:
        raise
    except Exception as error:  # code of the model
        raise ArtifactError(
            f"{name}.py cannot be imported ({_words(error)}): correct it and build again"
        ) from error


def _load(model: Any, folder: Path) -> None:
    try:
        model.load(folder)
    except FileNotFoundError as error:
        name = Path(error.filename or "").name
        raise ArtifactError(
            f"load(folder) needs the file {name!r}: put it beside model.toml and build again"
        ) from error
    except Exception as error:  # code of the model
        raise ArtifactError(f"load(folder) fails ({_words(error)}): correct it and build again") from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {foreign_words(error)}"


def made_by(_artifact: Path) -> MadeBy:
    """Only the build knows which libraries its files need."""
    return MadeBy()


def _instance(module: ModuleType, name: str) -> object:
    kind = getattr(module, name, None)
    if not callable(kind):
        there = sorted(key for key, value in vars(module).items() if isinstance(value, type))
        file = f"{module.__name__.rpartition('.')[2]}.py"
        raise ArtifactError(
            f"{file} has no class {name!r}, but {first_of(there)}: correct module in [python]"
        )
    try:
        return kind()
    except Exception as error:  # code of the model
        raise ArtifactError(f"{name}() fails ({_words(error)}): its constructor gets no argument") from error


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

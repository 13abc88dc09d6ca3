"""The interface of native runtimes that can be compiled: estimators of scikit-learn, and boosted trees."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from shared.columns import Array, Columns
from shared.specs import ModelSpec
from worker.predictors.compiled import Compiled


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

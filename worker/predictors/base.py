"""A loaded model as the rest of the worker uses it: columns in, checked answer out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from shared.columns import Array, Columns, Joiner, of_rows, row_count
from shared.errors import InvalidInputError, PredictionFailedError
from shared.keys import ModelKey
from shared.repository import ModelVersion
from shared.safe_texts import foreign_words
from shared.specs import ModelSpec, Row
from shared.worker_records import Runtimes
from worker.predictors.answer_checks import problem_of_answer
from worker.predictors.answer_selection import MAIN, RawAnswer, shown_outputs
from worker.predictors.golden_check import disagreement
from worker.predictors.image_decoder import ImageDecoder
from worker.predictors.output_types import UnfitValuesError
from worker.predictors.separate_labels import Answer
from worker.predictors.sequence_calls import SequenceCalls

_RUNS = 3
_GROWTH = 4  # factor between two slice sizes of the warm-up
_RATE_LIMIT_S = 0.5  # a model this slow is measured once


class OutOfMemoryError(PredictionFailedError):
    """The call needs more memory than is available; fewer rows may fit."""


class ModelRuntime(Protocol):
    """A framework's loaded model. Returns as many rows as it gets, each independent of the other rows.

    A model with a single answer returns class probabilities (rows, classes) if `spec.classifies`, or records
    with separate labels (see `worker.predictors.separate_labels`), else values (rows,) or a tensor (rows,
    *shape). A model with several answers, or with answers that are not floats, returns a dict of them by
    name, from which the outputs select by `from`, `method` and `column` (see
    `worker.predictors.answer_selection`). Raises any exception of the framework.
    """

    def __call__(self, columns: Columns, /) -> RawAnswer: ...


class ArrayRuntime(Protocol):
    """A runtime of a model with a single answer."""

    def __call__(self, columns: Columns, /) -> Array: ...


@runtime_checkable
class Settling(Protocol):
    """A runtime whose calls decide how later calls are made, for instance the form of its input."""

    def settled(self) -> dict[str, str | list[str] | None]:
        """What its calls have decided so far."""
        ...

    def settle(self, state: Mapping[str, Any], /) -> None:
        """Take over what the calls of another process decided."""
        ...


@dataclass(frozen=True)
class Predictor:
    """A loaded model version. Only the engine calls it, from a single thread at a time."""

    version: ModelVersion
    runtime: ModelRuntime
    load_s: float = 0.0  # from the digest to the end of the warm-up
    rates: Mapping[int, float] = field(default_factory=dict)  # rows/s at warm-up, by rows of a call
    runtimes: Runtimes = field(default_factory=Runtimes)  # the native runtime and the compiled runtimes
    warnings: tuple[str, ...] = ()  # from its framework, while it was loaded

    @property
    def spec(self) -> ModelSpec:
        return self.version.spec

    @property
    def key(self) -> ModelKey:
        return self.version.key

    @cached_property
    def join(self) -> Joiner:
        """Joins the entries of a batch."""
        return Joiner(self.spec)

    @property
    def rows_per_s(self) -> float:
        """The rate of a full online batch, as measured at warm-up; 0 before that."""
        return self.rates.get(self.spec.batching.max_rows, 0.0)

    @property
    def slice_rows_per_s(self) -> float:
        """The rate of the largest warm-up call, expected of a chunk's slices; 0 before that."""
        return self.rates[max(self.rates)] if self.rates else 0.0

    def predict(self, columns: Columns) -> Answer:
        """The answer for these rows: an array of float64, (rows, classes), (rows,) or (rows, *shape), that
        all outputs show, or the values of each output in its declared type.

        If a model's labels are not its most probable classes, the array holds records of
        `worker.predictors.separate_labels`.

        This is the only place that checks a model's answer. Raises PredictionFailedError if the model
        raises, or if its answer has a wrong length, shape or type, holds NaN or infinity (which JSON cannot
        represent) where no value may be missing, or holds invalid probabilities. Raises OutOfMemoryError if
        the model ran out of memory.
        """
        rows = row_count(columns)
        columns = self.decoded(columns)
        try:
            raw = (
                self.runtime(columns)
                if self._sequences is None
                else self._sequences.run(columns, self.runtime)
            )
            if isinstance(raw, dict) or not self.spec.shows_one_answer:
                return shown_outputs(self.spec, raw if isinstance(raw, dict) else {MAIN: raw}, rows)
            found = np.asarray(raw)
            answer = found if found.dtype.names else np.asarray(found, dtype=np.float64)
        except UnfitValuesError as error:
            raise PredictionFailedError(f"{self.key}: {error}") from error
        except Exception as error:
            reason = foreign_words(error)
            failure = OutOfMemoryError if _is_of_memory(error) else PredictionFailedError
            raise failure(f"{self.key}: {type(error).__name__}: {reason}") from error
        if problem := problem_of_answer(self.spec, answer, rows, found.dtype):
            raise PredictionFailedError(f"{self.key}: {problem}")
        return answer

    @cached_property
    def decoder(self) -> ImageDecoder | None:
        """Decodes the images of its inputs; None: it has no image input. Raises ArtifactError."""
        return ImageDecoder(self.spec) if self.spec.has_images else None

    @cached_property
    def _sequences(self) -> SequenceCalls | None:
        """None: it has no input of variable length."""
        return SequenceCalls(self.spec) if any(i.is_sequence for i in self.spec.inputs) else None

    def decoded(self, columns: Columns) -> Columns:
        """The columns with decoded images. Raises InvalidInputError."""
        return columns if self.decoder is None else self.decoder.decoded(columns)

    def golden_problem(self) -> str | None:
        """The first wrong answer to a golden row: row, output, expected, got. None: all are correct."""
        if not self.spec.golden:
            return None
        try:
            answer = self.predict(of_rows(self.spec, self.spec.golden_inputs()))
        except (InvalidInputError, PredictionFailedError) as error:
            return f"golden rows: {error.detail}"
        from worker.predictors.outputs import as_columns  # here, to avoid an import cycle

        return disagreement(self.spec, as_columns(self.spec, answer))

    def warm_up(self, sizes: Iterable[int]) -> dict[int, float]:
        """Run a batch of each size with golden or example rows, repeated. → rows/s by size, the best of a few
        runs.

        Raises PredictionFailedError.
        """
        return {size: self._rate(of_rows(self.spec, self._sample(size))) for size in sizes}

    def warm_up_slices(self, seconds: float) -> dict[int, float]:
        """Run growing calls until a call takes `seconds` or is the largest slice. → rows/s by size.

        Raises PredictionFailedError.
        """
        most = self.spec.most_slice_rows
        rates: dict[int, float] = {}
        rows, took_s = self.spec.batching.max_rows, 0.0
        while rows < most and took_s < seconds:
            rows = min(rows * _GROWTH, most)
            rates |= self.warm_up([rows])
            took_s = rows / rates[rows]
        return rates

    def _rate(self, columns: Columns) -> float:
        fastest_s = float("inf")
        for _ in range(_RUNS):
            started = time.perf_counter()
            self.predict(columns)
            fastest_s = min(fastest_s, time.perf_counter() - started)
            if fastest_s > _RATE_LIMIT_S:
                break
        return row_count(columns) / fastest_s

    def _sample(self, size: int) -> list[Row]:
        rows = self.spec.golden_inputs() or [self.spec.example_row()]
        return (rows * (size // len(rows) + 1))[:size]


def _is_of_memory(error: Exception) -> bool:
    """Whether the error means out of memory. torch has its own error type for a GPU and none for a CPU;
    checking by name avoids importing torch."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


def batch_sizes(max_rows: int) -> list[int]:
    """The batch sizes of the warm-up: 1, 2, 4, … and `max_rows` itself."""
    return [*(1 << n for n in range(max_rows.bit_length()) if 1 << n < max_rows), max_rows]

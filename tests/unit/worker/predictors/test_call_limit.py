"""The most rows of a call that fit into memory are learned once; a row that takes all memory lowers no
limit."""

from __future__ import annotations

import numpy as np
import pytest

from shared.columns import Array, Columns, row_count
from shared.errors import PredictionFailedError
from tests.support.engines import predictor
from worker.online.batching import bisect_failures
from worker.predictors import OutOfMemoryError
from worker.predictors.call_limit import CallLimit

HOG = -1.0


class Cramped:
    """y = 2x; runs out of memory above a number of rows, and for a particular row."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.calls: list[int] = []

    def __call__(self, columns: Columns) -> Array:
        self.calls.append(row_count(columns))
        if row_count(columns) > self.fits or HOG in columns["x"]:
            raise MemoryError
        return columns["x"] * 2


def run(call_limit: CallLimit, model: Cramped, xs: Array) -> list[int]:
    """A slice as the engine runs it. → the rows that failed."""
    cramped = predictor(model)

    def call(part: range) -> None:
        call_limit.predict(cramped, {"x": xs[part.start : part.stop]})

    failed = [row for row, _ in bisect_failures(range(len(xs)), call, lambda: None)]  # type: ignore[arg-type]  # slices of a range are ranges
    call_limit.settle()
    return failed


def test_a_call_that_does_not_fit_is_halved_and_its_ceiling_remembered() -> None:
    call_limit, model = CallLimit(), Cramped(fits=30)
    assert run(call_limit, model, np.arange(100.0)) == []
    assert call_limit.rows == 25
    model.calls.clear()
    assert run(call_limit, model, np.arange(100.0)) == []
    assert model.calls == [25] * 4


def test_a_row_that_takes_all_memory_fails_alone_and_lowers_no_ceiling() -> None:
    call_limit, xs = CallLimit(), np.arange(100.0)
    xs[42] = HOG
    assert run(call_limit, Cramped(fits=1000), xs) == [42]
    assert call_limit.rows == 0


def test_an_entry_larger_than_memory_is_answered_in_halves_and_in_order() -> None:
    call_limit, model = CallLimit(), Cramped(fits=3)
    answer = call_limit.predict_in_halves(predictor(model), {"x": np.arange(10.0)})
    call_limit.settle()
    assert isinstance(answer, np.ndarray)
    assert answer.tolist() == [2.0 * x for x in range(10)]
    assert call_limit.rows == 3


def test_a_single_row_without_memory_is_a_failed_row() -> None:
    with pytest.raises(OutOfMemoryError):
        CallLimit().predict_in_halves(predictor(Cramped(fits=0)), {"x": np.arange(2.0)})


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    ],
)
def test_every_frameworks_way_of_running_out_of_memory_is_known(error: Exception) -> None:
    def cramped(_: Columns) -> Array:
        raise error

    with pytest.raises(OutOfMemoryError):
        predictor(cramped).predict({"x": np.arange(2.0)})


def test_another_error_is_none_of_memory() -> None:
    def wrong(_: Columns) -> Array:
        raise RuntimeError("out of luck")

    with pytest.raises(PredictionFailedError) as failed:
        predictor(wrong).predict({"x": np.arange(2.0)})
    assert not isinstance(failed.value, OutOfMemoryError)

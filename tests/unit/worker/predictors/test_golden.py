"""If the golden rows fail too, the model is broken, and no row is failed."""

from __future__ import annotations

import numpy as np
import pytest

from shared.columns import Array, Columns
from tests.support.engines import predictor
from worker.execution.invalid_rows import InvalidRows
from worker.execution.slices import ChunkWork
from worker.predictors.golden import BrokenModelError, check_golden_rows


@pytest.mark.parametrize("error", [ValueError("broken"), MemoryError()])
def test_a_sick_predictor_blames_no_row_of_a_chunk(error: Exception) -> None:
    def sick(_: Columns) -> Array:
        raise error

    broken = predictor(sick)
    work = ChunkWork(broken, "job/0", {"x": np.arange(4.0)}, InvalidRows(0))
    with pytest.raises(BrokenModelError):
        work.run_slice(4, on_failure=lambda: check_golden_rows(broken))
    assert (work.position, work.results) == (0, [])

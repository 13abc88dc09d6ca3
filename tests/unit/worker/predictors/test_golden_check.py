"""If the golden rows fail too, the model is broken, and no row is failed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from shared.columns import Array, Columns
from tests.support.engines import predictor
from tests.support.specimens import declaration
from worker.execution.invalid_rows import InvalidRows
from worker.execution.slices import ChunkWork
from worker.predictors.golden_check import BrokenModelError, check_golden_rows, disagreement


@pytest.mark.parametrize("error", [ValueError("broken"), MemoryError()])
def test_a_sick_predictor_blames_no_row_of_a_chunk(error: Exception) -> None:
    def sick(_: Columns) -> Array:
        raise error

    broken = predictor(sick)
    work = ChunkWork(broken, "job/0", {"x": np.arange(4.0)}, InvalidRows(0))
    with pytest.raises(BrokenModelError):
        work.run_slice(4, on_failure=lambda: check_golden_rows(broken))
    assert (work.position, work.results) == (0, [])


@pytest.mark.parametrize(
    ("output", "expected", "right", "wrong"),
    [
        ({}, 1.0, 1.05, 1.2),
        ({"type": "float32"}, 1.0, 1.05, 1.2),
        ({"type": "int64"}, 2**53, 2**53, 2**53 + 1),
        ({"type": "bool"}, True, True, False),
        ({"type": "string"}, "a", "a", "b"),
        ({"nullable": True}, math.nan, None, 0.0),
        ({"type": "string", "nullable": True}, math.nan, None, ""),
        ({"view": "tensor", "shape": [2], "type": "int64"}, [1, 2], [1, 2], [1, 3]),
        ({"view": "tensor", "shape": [2]}, [1.0, 2.0], [1.05, 2.0], [1.0, 2.2]),
        ({"view": "class_index"}, 1, 1, 2),
        ({"view": "label", "classes": ["a", "b"]}, "a", "a", "b"),
    ],
)
def test_a_tolerance_is_for_floats_and_other_values_are_exact(
    output: dict[str, Any], expected: object, right: object, wrong: object
) -> None:
    golden = [{"inputs": {"x": 1.0}, "outputs": {"y": expected}, "tolerance": 0.1}]
    spec = declaration(outputs=[{"name": "y", "view": "value"} | output], golden=golden)
    assert disagreement(spec, [[right]]) is None
    assert disagreement(spec, [[wrong]]) == f"golden row 0: y: expected {expected!r}, got {wrong!r}"

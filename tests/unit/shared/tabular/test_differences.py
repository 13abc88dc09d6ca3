"""The difference of two results: equal, tolerated, different and failed rows, for every kind of output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shared.tabular.differences import MOST_PAIRS, Difference, QuantileSketch
from shared.tabular.distances import distances

NAN = math.nan


def results(errors: list[str | None] | None = None, **outputs: list[Any]) -> pa.Table:
    rows = len(next(iter(outputs.values())))
    return pa.table(outputs | {"error": pa.array(errors or [None] * rows, pa.string())})


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.5, 1.0], [0, 0.5, 2]),
        ([NAN, None, NAN, 1.0], [NAN, NAN, 1.0, None], [0, 0, math.inf, math.inf]),
        ([math.inf, -math.inf, math.inf], [math.inf, math.inf, 1.0], [0, math.inf, math.inf]),
        ([1, 2**60], [3, 2**60 + 1], [2, 1]),
        ([1, 2], [1.0, 2.5], [0, 0.5]),
        (["x", "y", None, None], ["x", "z", "y", None], [0, math.inf, math.inf, 0]),
        ([True, False], [True, True], [0, math.inf]),
        (["1", None], [1.0, None], [math.inf, 0]),
        ([[1.0, 2.0], [1.0], [], None, [1.0]], [[1.0, 4.0], [1.0, 2.0], [], None, None],
         [2, math.inf, 0, 0, math.inf]),
        ([[[1.0], [2.0, 3.0]], [[1.0]]], [[[1.0], [2.0, 8.0]], [[1.0, 2.0]]], [5, math.inf]),
        ([["x"], ["y"]], [["x"], ["z"]], [0, math.inf]),
    ],
)  # fmt: skip
def test_the_distance_of_two_values(a: list[Any], b: list[Any], expected: list[float]) -> None:
    assert distances(pa.array(a), pa.array(b)).tolist() == expected


def test_a_row_counts_once_and_differs_if_any_of_its_outputs_does() -> None:
    difference = Difference(tolerance=0.1)
    a = results([*[None] * 5, "bad", "bad"], label=list("xxxxyyy"), value=[1.0] * 7)
    b = results(
        [*[None] * 4, "bad", None, "worse"], label=list("xxzxyyy"), value=[1.0, 1.05, 1.0, 2.0, 1.0, 1.0, 1.0]
    )
    disagrees = difference.add(a, b)
    assert disagrees.tolist() == [False, False, True, True, True, True, False]
    assert (difference.rows, difference.equal, difference.within_tolerance) == (7, 1, 1)
    assert (difference.different, difference.failed_a, difference.failed_b) == (2, 1, 1)
    assert difference.failed_both == 1
    assert difference.disagreement == pytest.approx(4 / 7)
    assert difference.outputs["label"].changes == {("x", "z"): 1}
    assert difference.outputs["value"].changed == 2


def test_only_outputs_of_both_sides_are_compared() -> None:
    difference = Difference()
    assert not difference.add(results(p=["x"], q=[1.0]), results(p=["x"], r=[2.0])).any()
    assert (list(difference.only_in_a), list(difference.only_in_b)) == (["q"], ["r"])


def test_quantiles_are_within_one_percent_over_many_tables() -> None:
    values = np.abs(np.random.default_rng(7).lognormal(0, 3, 50_000))
    values[:10_000] = 0
    sketch = QuantileSketch()
    for part in np.array_split(values, 13):
        sketch.add(part)
    assert sketch.count == len(values)
    assert sketch.most == values.max()
    assert sketch.quantile(0.1) == 0
    for share in (0.5, 0.9, 0.99, 0.999):
        assert sketch.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.011)
    assert QuantileSketch().quantile(0.5) is None


def test_class_pairs_are_limited_in_number() -> None:
    difference = Difference()
    names = [str(n) for n in range(MOST_PAIRS + 5)]
    difference.add(results(p=names), results(p=["other"] * len(names)))
    output = difference.outputs["p"]
    assert (len(output.changes), output.other_changes) == (MOST_PAIRS, 5)
    difference.add(results(p=["0"]), results(p=["other"]))
    assert output.changes["0", "other"] == 2, "known pairs go on counting"

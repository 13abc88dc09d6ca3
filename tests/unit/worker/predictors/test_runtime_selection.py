"""The selection of a runtime by rates, and its report, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import numpy as np
import pytest

from shared.columns import Array, Columns, row_count
from shared.worker_records import (
    HeldModel,
    MeasuredRuntime,
    ModelState,
    Runtimes,
    WorkerRecord,
    WorkerState,
    from_hash,
    to_hash,
)
from stack.model_building import Verified
from tests.support.specimens import declaration
from worker.predictors import Predictor
from worker.predictors.acceleration import _rates
from worker.predictors.comparison_rows import probes
from worker.predictors.equivalence import Reference
from worker.predictors.runtime_selection import Switch, choose


def test_each_size_of_a_call_is_run_by_what_is_fastest_there() -> None:
    native = {1: 100.0, 64: 6_000.0, 1024: 100_000.0}
    others = {"quick": {1: 9_000.0, 64: 7_000.0, 1024: 50_000.0}, "broad": {1: 500.0, 64: 20_000.0}}
    assert choose(native, others) == {1: "quick", 64: "broad", 1024: "native"}


def test_what_is_hardly_faster_is_not_worth_a_switch() -> None:
    assert choose({1: 100.0}, {"other": {1: 109.0}}) == {1: "native"}
    assert choose({1: 100.0}, {"other": {1: 111.0}}) == {1: "other"}


def test_of_two_that_are_as_fast_the_one_of_larger_calls_runs_the_smaller_too() -> None:
    others = {"walk": {1: 105.0, 8: 800.0, 64: 900.0}, "bits": {1: 100.0, 8: 600.0, 64: 1000.0}}
    assert choose({1: 1.0, 8: 2.0, 64: 3.0}, others) == {1: "walk", 8: "walk", 64: "bits"}
    steady = {"walk": {1: 105.0, 64: 900.0}, "bits": {1: 100.0, 64: 1000.0}}
    assert choose({1: 1.0, 64: 3.0}, steady) == {1: "bits", 64: "bits"}


class Timed:
    """A candidate with given speeds; `rates` are the native runtime's."""

    rates: Mapping[int, float] = {1: 100.0, 64: 100.0, 256: 100.0}

    def __init__(self, own: Mapping[int, float]) -> None:
        self._own = own

    def warm_up(self, sizes: Iterable[int]) -> dict[int, float]:
        return {size: self._own[size] for size in sizes}


@pytest.mark.parametrize(
    ("own", "measured_at"),
    [({1: 900.0, 64: 60.0, 256: 900.0}, [1, 64, 256]), ({1: 900.0, 64: 30.0, 256: 900.0}, [1, 64])],
    ids=["a stumble", "far behind"],
)
def test_a_runtime_that_stumbles_once_is_measured_further_and_one_far_behind_is_not(
    own: Mapping[int, float], measured_at: list[int]
) -> None:
    assert list(_rates(cast(Predictor, Timed(own)))) == measured_at


def test_without_another_runtime_all_is_native() -> None:
    assert choose({1: 100.0, 2: 200.0}, {}) == {1: "native", 2: "native"}


def says(number: float) -> Callable[[Columns], Array]:
    return lambda columns: np.full(row_count(columns), number)


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 1.0), (2, 2.0), (64, 2.0), (65, 3.0), (1024, 3.0), (9999, 3.0)]
)
def test_a_call_is_run_as_the_next_size_that_was_measured(rows: int, expected: float) -> None:
    runtimes = {"a": says(1.0), "b": says(2.0), "c": says(3.0)}
    switch = Switch(runtimes, {1: "a", 64: "b", 1024: "c"})
    assert np.asarray(switch({"x": np.zeros(rows)}))[0] == expected


def measured(serving: Mapping[str, tuple[int, ...]]) -> tuple[MeasuredRuntime, ...]:
    return tuple(MeasuredRuntime(name=name, serves=sizes) for name, sizes in serving.items())


@pytest.mark.parametrize(
    ("runtimes", "words"),
    [
        (Runtimes(), "native"),
        (Runtimes(note="why", measured=measured({"native": (1, 64)})), "native (why)"),
        (Runtimes(measured=measured({"native": (), "a": (1, 64)})), "a"),
        (
            Runtimes(measured=measured({"native": (4096,), "a": (1, 2, 64), "b": (256,)})),
            "a to 64 rows, b to 256 rows, native beyond",
        ),
    ],
)
def test_the_choice_is_said_in_words(runtimes: Runtimes, words: str) -> None:
    assert runtimes.in_words() == words


def test_a_verification_says_what_runs_and_what_was_compared() -> None:
    native = MeasuredRuntime(name="native", serves=(1024,))
    equal = MeasuredRuntime(name="walk", compared_rows=1356, serves=(1, 64))
    other = MeasuredRuntime(name="arrays", bit_equal=False, compared_rows=1356, max_difference=2e-16)
    line = Verified(model="m", state="ok", rows_per_s=9000, runtime="words", compared=[native, equal, other])
    assert line.as_text() == (
        "ok, 9,000 rows/s; words; walk bit-identical on 1,356 rows; "
        "arrays differs by up to 2.0e-16 on 1,356 rows"
    )
    assert Verified(model="m", state="failed", reason="why").as_text() == "failed: why"


def heartbeat(model: HeldModel) -> WorkerRecord:
    return WorkerRecord(
        id="w:1", host="h", pid=1, device="cpu", state=WorkerState.SERVING, started_at="", models={"m": model}
    )


def test_a_heartbeat_carries_what_was_measured() -> None:
    one = MeasuredRuntime(name="walk", compared_rows=9, rows_per_s={1: 2.0}, serves=(1,))
    record = heartbeat(HeldModel(state=ModelState.LOADED, runtimes=Runtimes(measured=(one,))))
    fields = {name.encode(): value.encode() for name, value in to_hash(record).items()}
    assert from_hash(fields) == record


def test_a_heartbeat_without_runtimes_is_read_as_native() -> None:
    record = b"""{"id":"w:1","host":"h","pid":1,"device":"cpu","state":"serving","started_at":"",
                  "models":{"m":{"state":"loaded"}}}"""
    found = from_hash({b"record": record})
    assert found is not None
    assert found.models["m"].runtimes.in_words() == "native"


def test_a_single_differing_bit_is_no_parity() -> None:
    columns = {"x": np.zeros(3)}
    assert Reference(says(0.1), columns, [1]).compare(says(0.1)).bit_equal
    parity = Reference(says(0.1), columns, [1]).compare(says(float(np.nextafter(0.1, 1))))
    assert not parity.bit_equal
    assert 0 < parity.max_difference < 1e-16


def test_parity_is_looked_for_in_calls_of_every_size() -> None:
    def careless(columns: Columns) -> Array:
        return np.full(row_count(columns), 1.0 if row_count(columns) == 2 else 0.0)

    assert not Reference(says(0.0), {"x": np.zeros(5)}, [1, 2]).compare(careless).bit_equal


def test_probes_are_golden_rows_corners_and_both_sides_of_each_threshold() -> None:
    spec = declaration(
        inputs=[{"name": n, "type": "float", "minimum": 0, "maximum": 10} for n in ("a", "b")],
        golden=[{"inputs": {"a": 1.25, "b": 2.5}, "outputs": {"y": 1.0}}],
    )
    columns = probes(spec, ["b", "a"], {0: np.array([4.3])})
    rows = set(zip(columns["a"].tolist(), columns["b"].tolist(), strict=True))
    assert {(1.25, 2.5), (0.0, 0.0), (0.0, 10.0), (10.0, 0.0), (10.0, 10.0)} <= rows
    below = float(np.nextafter(np.float32(4.3), np.float32(0)))
    assert {4.3, below, float(np.nextafter(4.3, 10))} <= set(columns["b"].tolist())
    assert min(columns["a"].min(), columns["b"].min()) >= 0
    assert max(columns["a"].max(), columns["b"].max()) <= 10


def test_probes_have_the_types_that_a_model_is_given() -> None:
    inputs = [
        {"name": "n", "type": "int64", "example": 3},
        {"name": "m", "type": "int64", "nullable": True},
        {"name": "f", "type": "float32", "example": 1.5},
    ]
    columns = probes(declaration(inputs=inputs), ["n", "m", "f"], {})
    assert [columns[name].dtype for name in ("n", "m", "f")] == [np.int64, np.float64, np.float32]
    assert len({len(column) for column in columns.values()}) == 1


def test_probes_of_a_tensor_fill_all_its_values() -> None:
    tensor = {"name": "t", "type": "float32", "shape": [3], "example": [1.0, 2.0, 3.0]}
    columns = probes(declaration(inputs=[tensor]), ["t"], {2: np.array([7.0])})
    assert columns["t"].shape[1:] == (3,)
    assert 7.0 in columns["t"][:, 2]

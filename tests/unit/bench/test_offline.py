"""Many rows: their generation and files, the model's answers, and the report of a run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from bench.answers import Answer, read_answers
from bench.calls import WrongAnswer
from bench.memory_sampling import Look, peaks
from bench.offline_report import offline_plots, offline_report, ways_table
from bench.offline_results import BARE, OfflineResults, Passage, Rate
from bench.offline_ways import check_rows
from bench.random_rows import draw, requests_of, write_file
from bench.results import Machine
from bench.served_model import Served
from bench.stored_runs import decoded, reported
from bench.subjects import SUBJECTS, Description, subject

FOREST = Description("iris", "/model.joblib", ("a", "b"), 2, ("x", "y"))
NETWORK = Description("net", "/model.pt", ("features",), 3, (), network="/network.py")


def passage(number: int, way: str, rows: int, took_s: float) -> Passage:
    looks = (Look(0.5, {"worker": 2**20}), Look(1.0, {"worker": 3 * 2**20}))
    return Passage(number, way, rows, took_s, {"worker": 0.25}, peaks(looks), looks)


RESULTS = OfflineResults(
    command="python -m bench.offline",
    began_at="2026-01-02T03:04:05+00:00",
    took_s=60.0,
    model="iris",
    rounds=2,
    ways=(BARE, "takt arrow"),
    machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
    passages=(
        passage(0, BARE, 1000, 1.0),
        passage(0, "takt arrow", 1000, 2.0),
        passage(1, "takt arrow", 1000, 4.0),
        passage(1, BARE, 1000, 2.0),
    ),
    rates=(Rate(1, 100.0), Rate(64, 5000.0)),
)


class Halves(Served):
    """Answers without a model: the first class as sure as the row's first number."""

    def __init__(self, *, network: bool) -> None:
        self._fields, self._classes, self.is_network = ["a", "b"], ["x", "y"], network
        self.calls = 0

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.stack([rows[:, 0], 1 - rows[:, 0]], axis=1)


def test_many_requests_are_answered_by_a_single_call_each_in_its_own_shape() -> None:
    model = Halves(network=False)
    one, many = model.answer([{"a": 0.75, "b": 0}, {"inputs": [[0.25, 0], [1, 0]]}])
    assert model.calls == 1
    assert (one["prediction"], one["confidence"]) == ("x", 0.75)
    assert [row["prediction"] for row in many["results"]] == ["y", "x"]
    assert many["total_count"] == 2


def test_a_network_answers_its_classes_probabilities() -> None:
    [answer] = Halves(network=True).answer([{"features": [0.25, 0]}])
    assert answer == {"predicted_class": 1, "probabilities": [0.25, 0.75]}


def test_drawn_rows_are_the_same_every_time_and_as_wide_as_the_model() -> None:
    assert draw(FOREST, 7).shape == (7, 2)
    assert (draw(FOREST, 7) == draw(FOREST, 9)[:7]).all()
    assert draw(NETWORK, 5).dtype == np.float32


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("csv", csv.read_csv),
        ("parquet", parquet.read_table),
        ("arrow", lambda path: pa.ipc.open_stream(path.read_bytes()).read_all()),
    ],
)
def test_a_file_of_every_format_has_the_same_rows(form: str, read: object, tmp_path: Path) -> None:
    rows, path = draw(FOREST, 100), tmp_path / "rows"
    write_file(form, path, FOREST, rows)
    table = read(path)  # type: ignore[operator]
    assert table.column_names == ["a", "b"]
    assert table["b"].to_pylist() == rows[:, 1].tolist()


def test_a_tensor_is_written_as_lists_and_not_as_csv(tmp_path: Path) -> None:
    rows, path = draw(NETWORK, 4), tmp_path / "rows"
    write_file("parquet", path, NETWORK, rows)
    assert parquet.read_table(path)["features"].to_pylist() == rows.tolist()
    with pytest.raises(ValueError, match="parquet or arrow"):
        write_file("csv", path, NETWORK, rows)


def test_requests_hold_all_rows_once() -> None:
    rows = draw(FOREST, 5)
    found = [row for request in requests_of(rows, 2) for row in request["inputs"]]
    assert found == rows.tolist()


def test_answers_of_many_rows_are_read_bare_and_in_a_list() -> None:
    assert read_answers(b'{"results": [{"prediction": "a", "confidence": 1}]}') == [Answer("a", 1.0)]
    assert read_answers(b'[{"results": []}]') == []
    with pytest.raises(ValueError, match="many rows"):
        read_answers(b'{"detail": "no"}')


def test_a_wrong_row_is_told_by_its_number() -> None:
    right = [Answer("x", 1.0), Answer("y", 0.5)]
    rows = [Answer("x", 1.0), Answer("x", 0.5)]
    check_rows("mosec", rows[:1], right)
    with pytest.raises(WrongAnswer, match=r"mosec answered .* to row 1"):
        check_rows("mosec", rows, right)


def test_ways_are_set_against_the_bare_model_round_by_round() -> None:
    lines = ways_table(RESULTS).splitlines()
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == [
        "takt arrow",
        "1,000",
        "375 (250-500)",
        "0.50",
        "worker 250",
        "worker 3.0",
    ]


def test_a_kept_run_of_many_rows_is_reported_like_a_new_run() -> None:
    assert reported(decoded(msgspec.json.encode(RESULTS))) == offline_report(RESULTS)


def test_plots_show_sizes_and_the_memory_of_jobs() -> None:
    plots = offline_plots(RESULTS)
    assert plots["sizes-iris"].lines[0].points == ((1.0, 100.0), (64.0, 5000.0))
    assert [line.name for line in plots["memory-iris"].lines] == ["takt arrow, worker"]
    assert plots["memory-iris"].lines[0].points == ((0.5, 1.0), (1.0, 3.0))


def test_every_subject_is_found_by_its_name() -> None:
    assert all(subject(one.name) is one for one in SUBJECTS)
    with pytest.raises(ValueError, match="'nobody'; available: iris, iris_xgboost, iris_lightgbm"):
        subject("nobody")

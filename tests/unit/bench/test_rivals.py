"""Rivals and loads: found by their files, called with the same row, and read the same way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import loads, rivals
from bench.answers import Answer, is_right, read_answer, read_first
from bench.calls import Called, batch_rows, stage_times, stages_of
from bench.processes import REST, Machine, Usage, part_of
from bench.servers import plain_environment
from bench.subjects import subject

TIMING = 'validate;dur=0.031, queue;dur=9.500, batch;desc="rows=31";dur=0.120, predict;dur=6.250'
PARTS = {"api": "gateway", "worker": "worker", "valkey-server": "queue"}


@pytest.mark.parametrize("name", rivals.names())
def test_a_file_among_the_rivals_is_a_rival_of_that_name(name: str) -> None:
    assert rivals.rival(name).name == name


@pytest.mark.parametrize("name", loads.names())
def test_a_load_is_told_all_that_it_needs(name: str, tmp_path: Path) -> None:
    shot = loads.Shot(
        "http://127.0.0.1:9/predict", {"X-A": "1"}, tmp_path / "body", tmp_path / "log", 64, 2.5
    )
    words = " ".join(loads.load(name).command(shot))
    for needed in (shot.url, "X-A: 1", str(shot.body_file), str(shot.log_file), "64", "2"):
        assert needed in words


def test_a_rival_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'nobody'; available: .*guide, .*takt"):
        rivals.rival("nobody")


@pytest.mark.parametrize("name", rivals.names())
def test_a_rivals_libraries_are_pinned(name: str) -> None:
    requirements = rivals.rival(name).requirements
    if requirements is not None:
        lines = requirements.read_text().split()
        assert lines
        assert all("==" in line for line in lines)


def test_all_are_sent_the_same_row() -> None:
    row = subject("iris").row
    sent = {name: json.loads(rivals.rival(name).body(row)) for name in rivals.names()}
    assert sent.pop("bentoml") == {"requests": [row]}
    for name in ("mlserver", "takt_v2"):
        [tensor] = sent.pop(name)["inputs"]
        assert (tensor["shape"], tensor["data"]) == ([1, 4], list(row.values()))
    assert all(body == row for body in sent.values())


def test_an_answer_is_right_where_it_is_the_models() -> None:
    right = Answer("virginica", 0.99)
    assert is_right(Answer("virginica", 0.9904), right)
    assert not is_right(Answer("setosa", 0.99), right)
    assert not is_right(Answer("virginica", 0.5), right)


def test_answers_of_the_inference_protocol_are_read_by_row() -> None:
    outputs = [
        {"name": "predicted_class", "shape": [2, 1], "data": [2, 0]},
        {"name": "probabilities", "shape": [2, 3], "data": [0.1, 0.2, 0.7, 0.8, 0.1, 0.1]},
    ]
    body = json.dumps({"outputs": outputs}).encode()
    assert rivals.rival("takt_v2").answers(body) == [Answer("2", 0.7), Answer("0", 0.8)]
    assert rivals.rival("takt_v2").of_model("iris").path == "/v2/models/iris/infer"


def test_answers_are_read_in_both_shapes_of_the_guide() -> None:
    assert read_answer(b'{"prediction": "setosa", "confidence": 1}') == Answer("setosa", 1.0)
    assert read_answer(b'{"predicted_class": 2, "probabilities": [0.1, 0.2, 0.7]}') == Answer("2", 0.7)
    assert read_first(b'[{"prediction": "setosa", "confidence": 1}]') == Answer("setosa", 1.0)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"detail": "x"}', b'{"prediction": "a", "confidence": null}'])
@pytest.mark.parametrize("read", [read_answer, read_first])
def test_what_is_no_answer_is_refused(body: bytes, read: Callable[[bytes], Answer]) -> None:
    with pytest.raises(ValueError, match=r"guide's shape|list of answers|Expecting value"):
        read(body)


def test_stages_are_read_from_server_timing() -> None:
    assert stage_times(TIMING) == {"validate": 0.031, "queue": 9.5, "batch": 0.12, "predict": 6.25}
    assert batch_rows(TIMING) == 31
    assert batch_rows("predict;dur=1.0") == 0


def test_stages_of_a_probe_are_means_which_add_up_to_the_whole() -> None:
    calls = [Called(took, f'batch;desc="rows={n}";dur={n}') for took, n in ((22, 1), (50, 30), (30, 20))]
    stages = stages_of("iris", "takt", 64, calls)
    assert stages is not None
    assert (stages.whole_ms, stages.batch_rows, stages.stages_ms) == (34, 17, {"batch": 17})
    assert stages.rest_ms == 17


def test_a_rival_that_times_nothing_has_no_stages() -> None:
    assert stages_of("iris", "guide", 1, [Called(9.0, "")]) is None


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["/venv/bin/python", "-m", "api"], "gateway"),
        (["/venv/bin/python", "-m", "worker", "run"], "worker"),
        (["/lib/valkey-server 127.0.0.1:6379"], "queue"),  # Valkey writes its own title
        (["/venv/bin/python", "-m", "stack.process_group"], REST),
        ([], REST),
    ],
)
def test_a_process_is_told_by_a_word_of_its_command(command: list[str], part: str) -> None:
    assert part_of(command, PARTS) == part


def test_cpu_is_counted_between_two_looks() -> None:
    before = Usage({"worker": 10.0}, {})
    assert Usage({"worker": 13.0, "queue": 1.0}, {}).cores_since(before, 2.0) == {"worker": 1.5, "queue": 0.5}


def test_what_neither_rival_nor_load_used_went_to_others() -> None:
    before, after = Machine(busy_s=100.0, own_s=10.0), Machine(busy_s=108.0, own_s=11.0)
    assert after.others_since(before, rival_cores=1.25, elapsed_s=4.0) == 0.5


def test_rivals_are_started_without_anybodys_settings_and_with_one_thread() -> None:
    given = plain_environment({"PATH": "/bin", "TAKT_REDIS_URL": "redis://elsewhere", "OMP_NUM_THREADS": "8"})
    assert given == {"PATH": "/bin", "OMP_NUM_THREADS": "1"}

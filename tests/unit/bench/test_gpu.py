"""Latency by batch size: the measurements of each device, and their tables."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench.machine import this_machine
from bench.stored_runs import decoded, reported
from bench.studies import gpu
from bench.studies.gpu_report import Call, GpuResults, gpu_plots

RUN = GpuResults(
    command="python -m bench.studies.gpu",
    began_at="2026-03-02T06:30:00+00:00",
    took_s=60.0,
    machine=this_machine(),
    model="heavy",
    device="cuda:0",
    device_name="a GPU",
    calls=tuple(
        Call(number, precision, "pinned pieces", rows, (rows / 1000, rows / 1000, 9.0))
        for number in range(2)
        for precision in ("float32", "float16")
        for rows in (1, 64)
    ),
)


def test_a_run_is_reported_as_it_was_kept_by_size_and_by_what_was_compared() -> None:
    shown = reported(decoded(msgspec.json.encode(RUN)))
    assert "heavy on cuda:0 (a GPU)" in shown
    assert "| float32, pinned pieces | float16, pinned pieces |" in shown
    first, second = (line.split() for line in shown.splitlines() if line.lstrip("| ").startswith("64 "))
    assert first[3] == "64"  # ms: the median of the calls
    assert second[3] == "1,000"  # rows/s


def test_each_precision_has_its_plots() -> None:
    plots = gpu_plots(RUN)
    assert set(plots) == {"float32-latency", "float32-rows", "float16-latency", "float16-rows"}
    [line] = plots["float32-latency"].lines
    assert line.points == ((1.0, 1.0), (64.0, 64.0))


def test_a_cpu_is_not_asked_for_what_only_a_gpu_does() -> None:
    assert {way for _, way in gpu.ways("cpu")} == {"plain"}
    assert "float16" not in {precision for precision, _ in gpu.ways("cpu")}
    assert len(list(gpu.ways("cuda:0"))) == 12


def test_sizes_grow_to_the_largest_call() -> None:
    assert list(gpu.sizes(100)) == [1, 4, 16, 64, 100]
    assert list(gpu.sizes(1)) == [1]


def test_a_cpu_is_measured_as_a_gpu_would_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "gpu.json"
    words = "--device cpu --model classifier --most-rows 4 --calls 1 --rounds 1 --job-rows 0 --json"
    assert gpu.main([*words.split(), str(kept)]) == 0
    assert {call["precision"] for call in json.loads(kept.read_text())["calls"]} == {"float32", "bfloat16"}
    assert (tmp_path / "gpu-bfloat16-latency.svg").exists()
    assert "classifier on cpu" in capsys.readouterr().out


def test_without_a_device_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "_has_cuda", lambda: False)
    assert gpu.main([]) == 0
    assert "there is no CUDA device here" in capsys.readouterr().out

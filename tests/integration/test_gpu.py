"""On a CUDA device: the answers of a CPU, whatever way the rows cross, in calls that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.columns import Array
from shared.manifests import sha256_of
from shared.repository import ModelVersion
from shared.specs import ModelSpec
from tests.support.artifacts import array_of, load, version_of, with_manifest
from tests.support.specimens import declaration
from tests.unit.worker.predictors.test_pytorch_heads import network_version, outputs_of
from worker.predictors import Predictor
from worker.predictors.call_limit import CallLimit
from worker.predictors.device_pipeline import PIECE_BYTES
from worker.predictors.implementation import ModelFiles
from worker.predictors.pytorch import Copies
from worker.predictors.pytorch import load as load_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

WIDTH = 64
PIECE_ROWS = PIECE_BYTES // (WIDTH * 4)
NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 8))
    def forward(self, x):
        return self.layers(x)
"""


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Two layers from 64 values to 8."""
    spec = declaration(
        framework="pytorch",
        pytorch={"module": "network:Net", "arguments": {"width": WIDTH}},
        inputs=[{"name": "x", "type": "float32", "shape": [WIDTH], "example": [0.5] * WIDTH}],
        outputs=[{"name": "y", "view": "tensor", "shape": [8]}],
    )
    made = version_of(spec, None, tmp_path_factory.mktemp("gpu"))
    torch.manual_seed(7)
    layers = torch.nn.Sequential(torch.nn.Linear(WIDTH, 128), torch.nn.ReLU(), torch.nn.Linear(128, 8))
    torch.save({f"layers.{name}": value for name, value in layers.state_dict().items()}, made.artifact)
    (made.folder.parent / "network.py").write_text(NETWORK, encoding="utf-8")
    return with_manifest(made, sha256=sha256_of(made.artifact))


def rows_of(count: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(count).normal(size=(count, WIDTH)).astype(np.float32)}


def spec_in(version: ModelVersion, **options: Any) -> ModelSpec:
    """The declaration with other torch options, for a GPU."""
    document = version.spec.model_dump(mode="json")
    table = document.pop("options") | options
    return ModelSpec.model_validate(document | {"device": "gpu", "pytorch": table})


def answers(version: ModelVersion, rows: dict[str, Array], copies: Copies) -> Array:
    files = ModelFiles(version.artifact, version)
    answer = load_network(version.spec, files, "cuda:0", 1, copies=copies)(rows)
    assert isinstance(answer, np.ndarray)
    return answer


@pytest.mark.parametrize("count", [1, 64, PIECE_ROWS + 1])
def test_a_gpu_answers_as_a_cpu_does(version: ModelVersion, count: int) -> None:
    rows = rows_of(count)
    on_gpu = array_of(load(version, device="cuda:0"), rows)
    assert np.allclose(on_gpu, array_of(load(version), rows), rtol=0, atol=1e-3)  # TF32 is off by default


@pytest.mark.parametrize("count", [5, PIECE_ROWS + 1])
def test_the_heads_of_a_network_are_those_of_a_cpu(tmp_path: Path, count: int) -> None:
    made = network_version(tmp_path, "dict", outputs_of("state", "wear", "code"))
    rows = {"x": np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)}
    on_gpu, on_cpu = load(made, device="cuda:0").predict(rows), load(made).predict(rows)
    assert isinstance(on_gpu, dict)
    assert isinstance(on_cpu, dict)
    assert {name: values.dtype for name, values in on_gpu.items()} == {
        name: values.dtype for name, values in on_cpu.items()
    }
    for name in ("states", "wear"):
        assert np.allclose(on_gpu[name], on_cpu[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_answers_within_its_stated_tolerance(version: ModelVersion, precision: str) -> None:
    rows, exact = rows_of(1000), load(version)
    spec = spec_in(version, precision=precision)
    half = load(dataclasses.replace(version, spec=spec), device="cuda:0")
    assert np.allclose(array_of(half, rows), array_of(exact, rows), rtol=0, atol=spec.precision.tolerance)


@pytest.mark.parametrize("count", [1, 64, 5000])
def test_pinned_memory_gives_the_same_bits_as_a_plain_copy(version: ModelVersion, count: int) -> None:
    rows = rows_of(count)
    plain = answers(version, rows, Copies(least_bytes=2**62))
    for pinned in (True, False):
        crossed = answers(version, rows, Copies(pinned=pinned, pipelined=False, least_bytes=0))
        assert np.array_equal(crossed, plain)


@pytest.mark.parametrize(
    "count", [PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1, 3 * PIECE_ROWS, 9 * PIECE_ROWS + 7]
)
def test_a_call_in_pieces_answers_as_a_whole_call_does(version: ModelVersion, count: int) -> None:
    rows = rows_of(count)
    whole = answers(version, rows, Copies(pipelined=False, least_bytes=0))
    # another number of rows may take another kernel
    assert np.allclose(answers(version, rows, Copies(least_bytes=0)), whole, rtol=0, atol=1e-5)


def test_a_pipeline_gives_the_same_bits_call_after_call(version: ModelVersion) -> None:
    rows, other = rows_of(5 * PIECE_ROWS), rows_of(2 * PIECE_ROWS)
    predictor = load(version, device="cuda:0")
    first = array_of(predictor, rows)
    for _ in range(20):
        predictor.predict(other)
        assert np.array_equal(array_of(predictor, rows), first)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The device memory that this process may use: its current memory and 96 MiB."""
    torch.cuda.empty_cache()
    total_bytes = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(0) + 96 * 2**20) / total_bytes)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("little_memory")
def test_a_call_that_does_not_fit_is_run_in_halves_and_leaves_a_ceiling(version: ModelVersion) -> None:
    rows = rows_of(2**20)  # 256 MiB of rows in a single call
    files = ModelFiles(version.artifact, version)
    copies = Copies(pipelined=False, least_bytes=0)
    runtime = load_network(version.spec, files, "cuda:0", 1, copies=copies)
    call_limit = CallLimit()
    answer = call_limit.predict_in_halves(Predictor(version, runtime), rows)
    call_limit.settle()
    assert isinstance(answer, np.ndarray)
    first = array_of(load(version), {"x": rows["x"][:100]})
    assert np.allclose(answer[:100], first, rtol=0, atol=1e-3)
    assert 0 < call_limit.rows < 2**20

"""Torch networks: their class lies in the model's folder; their weights are loaded as data, never as code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.arrow_tables import batch_of_rows, columns_of_batch
from shared.errors import ArtifactError
from shared.manifests import sha256_of
from shared.repository import ModelVersion
from tests.support.artifacts import Opened, array_of, load, version_of, with_manifest
from tests.support.specimens import declaration
from worker.predictors.torch_inputs import InputArrays

NETWORK = """
from torch import nn
from .layers import layer

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = layer(width)
    def forward(self, x):
        return self.layer(x)
"""


def network_version(folder: Path, **changes: Any) -> ModelVersion:
    """A network with a single layer over three scalar features, with weights of 1 and a bias of 0."""
    spec = declaration(
        framework="pytorch",
        pytorch={"module": "network:Net", "arguments": {"width": 3}} | changes.pop("pytorch", {}),
        inputs=[{"name": name, "type": "float", "example": 1.0} for name in "abc"],
        **changes,
    )
    version = version_of(spec, None, folder)
    weights = {"layer.weight": torch.ones(1, 3), "layer.bias": torch.zeros(1)}
    torch.save(weights, version.artifact)
    home = version.folder.parent
    (home / "network.py").write_text(NETWORK, encoding="utf-8")
    (home / "layers.py").write_text(
        "from torch import nn\nlayer = lambda n: nn.Linear(n, 1)\n", encoding="utf-8"
    )
    return with_manifest(version, sha256=sha256_of(version.artifact))


THREE = {"a": np.array([1.0, 4.0]), "b": np.array([2.0, 5.0]), "c": np.array([3.0, 6.0])}


def test_a_network_takes_scalar_features_and_its_modules_import_each_other(tmp_path: Path) -> None:
    path = list(sys.path)
    predictor = load(network_version(tmp_path))
    assert array_of(predictor, THREE).tolist() == [6.0, 15.0]
    assert sys.path == path


def test_one_logit_and_a_sigmoid_make_two_classes(tmp_path: Path) -> None:
    version = network_version(
        tmp_path,
        pytorch={"activation": "sigmoid"},
        classes=["no", "yes"],
        outputs=[{"name": "p", "view": "probabilities"}],
    )
    answer = array_of(load(version), THREE)
    assert np.allclose(answer.sum(axis=1), 1)
    assert answer[0, 1] == pytest.approx(1 / (1 + np.exp(-6)))


def test_arrow_memory_reaches_a_network_without_a_warning(tmp_path: Path) -> None:
    predictor = load(network_version(tmp_path))
    batch = batch_of_rows(predictor.spec, [{"a": 1.0, "b": 2.0, "c": 3.0}])
    assert array_of(predictor, columns_of_batch(predictor.spec, batch)).tolist() == [6.0]


def test_a_network_computes_in_the_precision_that_its_declaration_names(tmp_path: Path) -> None:
    predictor = load(network_version(tmp_path, pytorch={"precision": "bfloat16"}))
    # 8 bits: 257 becomes 256 or 258
    rows = {"a": np.array([257.0]), "b": np.array([0.0]), "c": np.array([0.0])}
    assert array_of(predictor, rows)[0] in (256.0, 258.0)
    assert predictor.runtimes.in_words() == "native (in bfloat16; pytorch models are not compiled)"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_runtime_answers_in_float32_whatever_it_computes_in(tmp_path: Path, precision: str) -> None:
    predictor = load(network_version(tmp_path, pytorch={"precision": precision}))
    assert np.asarray(predictor.runtime(THREE)).dtype == np.float32


def test_golden_rows_of_a_network_in_half_precision_may_be_off_by_its_stated_tolerance(
    tmp_path: Path,
) -> None:
    row = {"inputs": {"a": 100.0, "b": 1.0, "c": 0.0}, "outputs": {"y": 102.0}}
    with pytest.raises(ArtifactError, match="golden row 0"):
        load(network_version(tmp_path / "float32", golden=[row]))
    load(network_version(tmp_path / "bfloat16", golden=[row], pytorch={"precision": "bfloat16"}))


def test_golden_rows_in_half_precision_are_refused_beyond_it(tmp_path: Path) -> None:
    row = {"inputs": {"a": 100.0, "b": 1.0, "c": 0.0}, "outputs": {"y": 110.0}}
    with pytest.raises(ArtifactError, match="golden row 0"):
        load(network_version(tmp_path, golden=[row], pytorch={"precision": "bfloat16"}))


@pytest.mark.parametrize("device", ["cpu", "any"])
def test_float16_is_for_a_gpu(tmp_path: Path, device: str) -> None:
    with pytest.raises(ValueError, match=r"pytorch\.precision: float16 needs device = 'gpu'"):
        network_version(tmp_path, device=device, pytorch={"precision": "float16"})


def test_rows_written_where_a_copy_begins_are_those_of_a_plain_call(tmp_path: Path) -> None:
    rows = InputArrays(network_version(tmp_path).spec)
    source, (plain,) = rows.source(THREE), rows.arrays(THREE)
    into = np.empty((1, *source.row_shape), source.dtype)
    source.fill(slice(1, 2), into)
    assert np.array_equal(into, plain[1:])
    assert rows.row_bytes(THREE) == plain[0].nbytes


def test_a_state_dict_that_hides_code_is_not_loaded(tmp_path: Path) -> None:
    trace = tmp_path / "opened"
    version = network_version(tmp_path)
    torch.save({"layer.weight": Opened(trace)}, version.artifact)
    with pytest.raises(ArtifactError, match="holds code beside weights, and is not opened"):
        load(with_manifest(version, sha256=sha256_of(version.artifact)))
    assert not trace.exists()


SUMS = """
import torch
from torch import nn

class Sums(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
    def forward(self, x):
        return x.sum(dim=(1, 2)) * self.gain
"""


@pytest.mark.parametrize("pad", [None, 0.0])
def test_a_network_takes_sequences_of_different_lengths(tmp_path: Path, pad: float | None) -> None:
    steps = {"name": "steps", "type": "float32", "shape": [-1, 2], "pad": pad, "example": [[1, 2]]}
    spec = declaration(framework="pytorch", pytorch={"module": "network:Sums"}, inputs=[steps])
    version = version_of(spec, None, tmp_path)
    torch.save({"gain": torch.full((1,), 2.0)}, version.artifact)
    (version.folder.parent / "network.py").write_text(SUMS, encoding="utf-8")
    predictor = load(with_manifest(version, sha256=sha256_of(version.artifact)))
    rows = [{"steps": [[1, 2], [3, 4]]}, {"steps": [[5, 6]]}, {"steps": [[1, 1]] * 5}]
    columns = columns_of_batch(spec, batch_of_rows(spec, rows))
    assert array_of(predictor, columns).tolist() == [20.0, 22.0, 20.0]

"""Torch networks: their class lives with the model, their weights are data and never code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import ArtifactError
from shared.repository import ModelVersion, sha256_of
from shared.tables import batch_of_rows, columns_of_batch
from tests.support.artifacts import Opened, load, version_of, with_manifest
from tests.support.specimens import declaration

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
    """A one-layer network over three scalar features, whose weights are 1 and whose bias is 0."""
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
    assert predictor.predict(THREE).tolist() == [6.0, 15.0]
    assert sys.path == path


def test_one_logit_and_a_sigmoid_make_two_classes(tmp_path: Path) -> None:
    version = network_version(
        tmp_path,
        pytorch={"activation": "sigmoid"},
        classes=["no", "yes"],
        outputs=[{"name": "p", "view": "probabilities"}],
    )
    answer = load(version).predict(THREE)
    assert np.allclose(answer.sum(axis=1), 1)
    assert answer[0, 1] == pytest.approx(1 / (1 + np.exp(-6)))


def test_arrow_memory_reaches_a_network_without_a_warning(tmp_path: Path) -> None:
    predictor = load(network_version(tmp_path))
    batch = batch_of_rows(predictor.spec, [{"a": 1.0, "b": 2.0, "c": 3.0}])
    assert predictor.predict(columns_of_batch(predictor.spec, batch)).tolist() == [6.0]


def test_a_state_dict_that_hides_code_is_not_loaded(tmp_path: Path) -> None:
    trace = tmp_path / "opened"
    version = network_version(tmp_path)
    torch.save({"layer.weight": Opened(trace)}, version.artifact)
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        load(with_manifest(version, sha256=sha256_of(version.artifact)))
    assert not trace.exists()

"""Networks that return several tensors: each output shows a head, by name or by index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import ArtifactError
from shared.manifests import sha256_of
from shared.repository import ModelVersion
from tests.support.artifacts import load, version_of, with_manifest
from tests.support.specimens import declaration
from worker.predictors import Predictor
from worker.predictors.outputs import as_columns

HEADS = """
from typing import NamedTuple
from torch import Tensor, nn

class Heads(NamedTuple):
    state: Tensor
    wear: Tensor
    code: Tensor

class Net(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form
        self.state = nn.Linear(3, 2)
        self.wear = nn.Linear(3, 1)
    def forward(self, x):
        found = Heads(self.state(x), self.wear(x), self.wear(x).round().long())
        return {"tuple": tuple(found), "named tuple": found, "dict": found._asdict()}[self.form]
"""
ROWS = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)


def outputs_of(*sources: Any) -> list[dict[str, Any]]:
    state, wear, code = ({"from": source} for source in sources)
    return [
        {"name": "state", "view": "label"} | state,
        {"name": "states", "view": "probabilities"} | state,
        {"name": "wear", "view": "value", "type": "float32"} | wear,
        {"name": "code", "view": "value", "type": "int64"} | code,
    ]


def network(folder: Path, form: str, outputs: list[dict[str, Any]], **options: Any) -> Predictor:
    return load(network_version(folder, form, outputs, **options))


def network_version(folder: Path, form: str, outputs: list[dict[str, Any]], **options: Any) -> ModelVersion:
    options = {"module": "network:Net", "arguments": {"form": form}, "activation": "softmax"} | options
    spec = declaration(
        framework="pytorch",
        pytorch=options,
        classes=["ok", "worn"],
        inputs=[{"name": "x", "type": "float32", "shape": [3], "example": [0.5, 0.5, 0.5]}],
        outputs=outputs,
    )
    version = version_of(spec, None, folder)
    torch.save(weights(), version.artifact)
    (version.folder.parent / "network.py").write_text(HEADS, encoding="utf-8")
    return with_manifest(version, sha256=sha256_of(version.artifact))


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    state, wear = torch.nn.Linear(3, 2), torch.nn.Linear(3, 1)
    return {
        f"{name}.{key}": tensor
        for name, layer in (("state", state), ("wear", wear))
        for key, tensor in layer.state_dict().items()
    }


@pytest.mark.parametrize(
    ("form", "sources"),
    [("tuple", (0, 1, 2)), ("named tuple", ("state", "wear", "code")), ("dict", ("state", "wear", "code"))],
)
def test_each_output_shows_its_head_and_classes_are_activated(
    tmp_path: Path, form: str, sources: tuple[Any, ...]
) -> None:
    predictor = network(tmp_path, form, outputs_of(*sources))
    known = weights()
    with torch.inference_mode():
        rows = torch.from_numpy(ROWS)
        states = torch.nn.functional.linear(rows, known["state.weight"], known["state.bias"]).softmax(1)
        wear = torch.nn.functional.linear(rows, known["wear.weight"], known["wear.bias"])
    label, probabilities, found_wear, code = as_columns(predictor.spec, predictor.predict({"x": ROWS}))
    assert label == [["ok", "worn"][index] for index in states.argmax(1)]
    assert probabilities == states.double().tolist()
    assert np.array_equal(np.array(found_wear, np.float32), wear.reshape(-1).numpy())
    assert code == wear.reshape(-1).round().long().tolist()


def test_heads_in_half_precision_are_shown_in_float32(tmp_path: Path) -> None:
    predictor = network(tmp_path, "dict", outputs_of("state", "wear", "code"), precision="bfloat16")
    _, probabilities, _, code = as_columns(predictor.spec, predictor.predict({"x": ROWS}))
    assert np.array(probabilities).sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert all(isinstance(number, int) for number in code)


def test_a_head_that_a_network_lacks_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        network(tmp_path, "dict", outputs_of("state", "wear", "depth"))
    assert "output 'code' shows 'depth', which the model does not answer" in caught.value.detail
    assert "there is: 'state', 'wear', 'code'" in caught.value.detail

"""Networks that take several tensors, or sequences: drafted from the file, and answered as here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.columns import of_rows
from shared.errors import ArtifactError
from shared.specs import Row
from tests.support.artifacts import load, version_from_file
from tests.support.drafts import drafted, served, spec_in
from tests.support.frameworks import needs
from tests.support.specimens import declaration
from worker.models.drafting.artifact_facts import DraftError
from worker.predictors import Predictor
from worker.predictors.outputs import as_columns

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

NETWORK = """
import torch
from typing import Dict

class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wave = torch.nn.Linear(6, 2)
        self.machine = torch.nn.Linear(3, 2)

    def forward(self, wave, machine, gain) -> Dict[str, torch.Tensor]:
        both = self.wave(wave) + self.machine(machine) * gain
        return {"state": both, "wear": both.sum(dim=1, keepdim=True)}
"""
TOLERANCE = 1e-6
ROWS = np.random.default_rng(3)


def two() -> Any:  # Any: made from a text
    namespace: dict[str, Any] = {"__name__": "training"}
    exec(NETWORK, namespace)
    torch.manual_seed(1)
    return namespace["Two"]().eval()


def tensors(rows: int) -> list[torch.Tensor]:
    widths = (6, 3, 1)
    return [torch.from_numpy(ROWS.normal(size=(rows, width)).astype(np.float32)) for width in widths]


def rows_of(*given: torch.Tensor, names: Sequence[str] = ("wave", "machine", "gain")) -> list[Row]:
    return [dict(zip(names, [one.tolist() for one in row], strict=True)) for row in zip(*given, strict=True)]


def answers(predictor: Predictor, rows: list[Row]) -> dict[str, Any]:
    columns = as_columns(predictor.spec, predictor.predict(of_rows(predictor.spec, rows)))
    return {output.name: column for output, column in zip(predictor.spec.outputs, columns, strict=True)}


def assert_as_in_process(predictor: Predictor, *, names: Sequence[str] = ("wave", "machine", "gain")) -> None:
    given = tensors(7)
    with torch.inference_mode():
        expected = two()(*given)
    found = answers(predictor, rows_of(*given, names=names))
    assert np.abs(np.array(found["state"]) - expected["state"].numpy()).max() <= TOLERANCE
    assert np.abs(np.array(found["wear"]) - expected["wear"].numpy()[:, 0]).max() <= TOLERANCE


@pytest.mark.parametrize("by_name", [False, True])
def test_a_program_of_several_tensors_is_drafted(tmp_path: Path, by_name: bool) -> None:
    rows = {0: torch.export.Dim("rows")}
    given = tensors(2)
    names = ("wave", "machine", "gain")
    arguments = (
        ((given[0],), dict(zip(names[1:], given[1:], strict=True))) if by_name else (tuple(given), None)
    )
    program = torch.export.export(two(), *arguments, dynamic_shapes=dict.fromkeys(names, rows))
    torch.export.save(program, tmp_path / "two.pt2")
    drafted(tmp_path, tmp_path / "two.pt2")
    spec = spec_in(tmp_path)
    assert [(field.name, field.shape) for field in spec.inputs] == [
        ("wave", (6,)),
        ("machine", (3,)),
        ("gain", (1,)),
    ]
    assert [(output.name, output.source) for output in spec.outputs] == [("state", "state"), ("wear", "wear")]
    assert_as_in_process(served(tmp_path))


def several(*names: str, **options: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "type": "float32", "shape": [width], "example": [0.5] * width}
        for name, width in zip(names, (6, 3, 1), strict=False)
    ]
    outputs = [
        {"name": "state", "view": "tensor", "shape": [2], "from": "state"},
        {"name": "wear", "view": "value", "from": "wear"},
    ]
    return {"framework": "pytorch", "inputs": inputs, "outputs": outputs, "pytorch": options}


def saved_weights(path: Path) -> None:
    torch.save(two().state_dict(), path)


def saved_script(path: Path) -> None:
    torch.jit.trace(two(), tuple(tensors(2)), strict=False).save(path)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("save", [saved_weights, saved_script])
@pytest.mark.parametrize("names", [("wave", "machine", "gain"), ("w", "m", "g")])
def test_tensors_are_passed_by_their_names_or_in_order(
    tmp_path: Path, save: Any, names: tuple[str, ...]
) -> None:
    save(tmp_path / "m.pt")
    spec = declaration(**several(*names, module="network:Two"))
    version = version_from_file(spec, tmp_path / "m.pt", tmp_path / "models", {"network.py": NETWORK})
    assert_as_in_process(load(version), names=names)


def test_named_tensors_may_be_declared_in_another_order(tmp_path: Path) -> None:
    saved_weights(tmp_path / "m.pt")
    declared = several("wave", "machine", "gain", module="network:Two")
    spec = declaration(**declared | {"inputs": declared["inputs"][::-1]})
    version = version_from_file(spec, tmp_path / "m.pt", tmp_path / "models", {"network.py": NETWORK})
    assert_as_in_process(load(version))


@pytest.mark.parametrize("names", [("wave",), ("wave", "machine"), ("wave", "machine", "gian")])
def test_a_wrong_number_of_tensors_names_those_of_the_network(tmp_path: Path, names: tuple[str, ...]) -> None:
    saved_weights(tmp_path / "m.pt")
    spec = declaration(**several(*names, module="network:Two"))
    version = version_from_file(spec, tmp_path / "m.pt", tmp_path / "models", {"network.py": NETWORK})
    with pytest.raises(
        ArtifactError, match=r"the network takes 3 tensors .*'wave', 'machine', 'gain'.*declare an input"
    ):
        load(version)


class Steps(torch.nn.Module):
    """Answers sequences of 3 values a step with two heads."""

    def __init__(self, *, each: bool = False) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.each = each
        self.layer = torch.nn.Conv1d(3, 4, 3, padding=1)

    def forward(self, steps: torch.Tensor) -> Any:
        found = self.layer(steps.transpose(1, 2)).transpose(1, 2)
        return found if self.each else (found.mean(dim=1), found.amax(dim=1))


def saved_steps(net: torch.nn.Module, path: Path) -> Path:
    sizes = {0: torch.export.Dim("rows"), 1: torch.export.Dim("steps", min=4, max=200)}
    torch.export.save(torch.export.export(net.eval(), (torch.rand(2, 9, 3),), dynamic_shapes=(sizes,)), path)
    return path


def test_an_axis_of_any_length_is_a_sequence(tmp_path: Path) -> None:
    net = Steps()
    drafted(tmp_path, saved_steps(net, tmp_path / "steps.pt2"))
    spec = spec_in(tmp_path)
    assert (spec.inputs[0].shape, spec.inputs[0].max_length) == ((-1, 3), 200)
    sequences = [torch.rand(length, 3) for length in (5, 12, 5, 40)]
    found = answers(served(tmp_path), [{"steps": one.tolist()} for one in sequences])
    with torch.inference_mode():
        expected = [net(one[None]) for one in sequences]
    assert np.abs(np.array(found["0"]) - torch.cat([one[0] for one in expected]).numpy()).max() <= TOLERANCE
    assert np.abs(np.array(found["1"]) - torch.cat([one[1] for one in expected]).numpy()).max() <= TOLERANCE


def test_an_answer_for_each_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DraftError, match="has values for each step, and outputs have a fixed shape"):
        drafted(tmp_path, saved_steps(Steps(each=True), tmp_path / "steps.pt2"))


@needs("onnxruntime", "onnx")
@pytest.mark.parametrize("sizes", [["n", "time", 3], [1, "time", 3]])
def test_a_graph_with_a_time_axis_takes_sequences(tmp_path: Path, sizes: list[int | str]) -> None:
    import onnx
    from onnx import TensorProto, helper

    steps = helper.make_tensor_value_info("steps", TensorProto.FLOAT, sizes)
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [sizes[0], 3])
    nodes = [helper.make_node("ReduceMean", ["steps"], ["mean"], axes=[1], keepdims=0)]
    graph = helper.make_graph(nodes, "g", [steps], [mean])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "g.onnx")
    drafted(tmp_path, tmp_path / "g.onnx")
    assert spec_in(tmp_path).inputs[0].shape == (-1, 3)
    sequences = [[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]], [[5.0, 5.0, 5.0]]]
    found = answers(served(tmp_path), [{"steps": one} for one in sequences])
    assert found["values"] == [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [5.0, 5.0, 5.0]]

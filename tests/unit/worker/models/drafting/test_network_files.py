"""`takt models new` on ONNX graphs and files of torch: the model that it makes answers as the file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from tests.support import ai4i
from tests.support.ai4i import NUMBERS, TARGET
from tests.support.drafts import answers, drafted, served, spec_in, table_file
from tests.support.frameworks import needs
from worker.models.drafting.artifact_facts import DraftError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TABLE = ai4i.table(300)
ROWS = TABLE[NUMBERS].to_numpy().astype(np.float32)
SAMPLE = TABLE[NUMBERS].astype(np.float32)


def network(*layers: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(*(layers or (torch.nn.Linear(5, 3), torch.nn.Tanh()))).eval()


def saved_program(net: torch.nn.Module, path: Path, shape: tuple[int, ...] = (5,)) -> Path:
    rows = ({0: torch.export.Dim("rows")},)
    torch.export.save(torch.export.export(net, (torch.rand(2, *shape),), dynamic_shapes=rows), path)
    return path


def saved_script(net: torch.nn.Module, path: Path) -> Path:
    torch.jit.trace(net, torch.rand(2, 5)).save(path)  # type: ignore[no-untyped-call]
    return path


def expected(net: torch.nn.Module, rows: Any = ROWS) -> Any:
    with torch.inference_mode():
        return net(torch.from_numpy(np.asarray(rows))).numpy()


@pytest.mark.parametrize(("save", "name"), [(saved_program, "net.pt2"), (saved_script, "net.pt")])
def test_a_network_takes_the_columns_of_a_sample_or_a_vector(
    tmp_path: Path, save: Callable[[torch.nn.Module, Path], Path], name: str
) -> None:
    net = network()
    path = save(net, tmp_path / name)
    drafted(tmp_path, path, sample=table_file(SAMPLE, tmp_path, "rows.parquet"))
    assert spec_in(tmp_path).input_names == NUMBERS
    assert np.asarray(answers(served(tmp_path), SAMPLE)["values"]) == pytest.approx(expected(net), rel=1e-5)
    made = drafted(tmp_path, path, force=True)
    (field,) = spec_in(tmp_path).inputs
    assert (field.type, field.shape) == ("float32", (5,))
    assert any("--classes" in note for note in made.notes)


def test_values_become_probabilities_of_named_classes(tmp_path: Path) -> None:
    net = network(torch.nn.Linear(5, 3))
    path = saved_program(net, tmp_path / "net.pt2")
    with pytest.raises(DraftError, match="predicts no 2 classes; its answer has 3 values"):
        drafted(tmp_path, path, classes=("a", "b"))
    scaled = SAMPLE / 1000
    sample = table_file(scaled, tmp_path, "rows.parquet")
    drafted(tmp_path, path, classes=("a", "b", "c"), sample=sample)
    softmax = torch.softmax(torch.from_numpy(expected(net, scaled.to_numpy())), 1).numpy()
    shown = answers(served(tmp_path), scaled)
    assert np.asarray(shown["probabilities"]) == pytest.approx(softmax, rel=1e-4)


def test_an_image_tensor_and_probabilities_need_no_activation(tmp_path: Path) -> None:
    layers = (torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(72, 2), torch.nn.Softmax(1))
    drafted(tmp_path, saved_program(network(*layers), tmp_path / "c.pt2", (1, 8, 8)), classes=("ok", "bad"))
    spec = spec_in(tmp_path)
    assert spec.inputs[0].shape == (1, 8, 8)
    assert "activation" not in (tmp_path / "models" / "drafted" / "model.toml").read_text()
    assert served(tmp_path)


def weights(path: Path) -> None:
    torch.save(network().state_dict(), path)


def damaged_program(path: Path) -> None:
    path.with_suffix(".pt2").write_bytes(b"PK")


def script_without_width(path: Path) -> None:
    saved_script(network(torch.nn.LayerNorm(5)), path)


@pytest.mark.parametrize(
    ("save", "reason"),
    [
        (weights, "contains weights without their network"),
        (damaged_program, "is no file of pytorch: save the network"),
        (script_without_width, "does not record the shape of its input"),
    ],
)
def test_a_file_without_enough_says_how_to_export_it(
    tmp_path: Path, save: Callable[[Path], None], reason: str
) -> None:
    save(tmp_path / "net.pt")
    (path,) = tmp_path.glob("net.*")
    with pytest.raises(DraftError, match=reason):
        drafted(tmp_path, path)


class Blank(torch.nn.Module):
    """A network that makes a tensor on the device of the training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 2)

    def forward(self, rows: torch.Tensor) -> Any:
        return self.layer(rows) + torch.ones(2, device="cpu")


def test_a_script_that_computes_on_cuda_says_what_to_do(tmp_path: Path) -> None:
    saved_script(Blank().eval(), tmp_path / "cpu.pt")
    with (
        zipfile.ZipFile(tmp_path / "cpu.pt") as archive,
        zipfile.ZipFile(tmp_path / "net.pt", "w") as changed,
    ):
        for name in archive.namelist():
            data = archive.read(name)
            code = data.replace(b'torch.device("cpu")', b'torch.device("cuda:0")')
            changed.writestr(name, code if name.endswith(".py") else data)
    with pytest.raises(DraftError, match=r"net\.pt computes on CUDA, and this machine has none: move the"):
        drafted(tmp_path, tmp_path / "net.pt")


def converted(model: Any, path: Path, **options: Any) -> Path:
    import skl2onnx

    path.write_bytes(skl2onnx.to_onnx(model, ROWS[:1], **options).SerializeToString())
    return path


@needs("onnxruntime", "skl2onnx")
@pytest.mark.parametrize("zipmap", [False, True])
def test_a_converted_classifier_has_its_classes(tmp_path: Path, zipmap: bool) -> None:
    model = LogisticRegression(max_iter=2000).fit(ROWS, TABLE[TARGET])
    path = converted(model, tmp_path / "m.onnx", options={id(model): {"zipmap": zipmap}})
    drafted(tmp_path, path, sample=table_file(SAMPLE, tmp_path, "rows.parquet"), classes=("good", "bad"))
    shown = answers(served(tmp_path), SAMPLE)
    assert np.asarray(shown["probabilities"]) == pytest.approx(model.predict_proba(ROWS), abs=1e-4)
    assert set(shown["prediction"]) <= {"good", "bad"}


@needs("onnxruntime", "skl2onnx")
def test_a_converted_regression_takes_named_columns(tmp_path: Path) -> None:
    model = RandomForestRegressor(5, random_state=1).fit(ROWS, TABLE["UDI"])
    path = converted(model, tmp_path / "m.onnx")
    drafted(tmp_path, path, sample=table_file(TABLE, tmp_path), inputs=tuple(NUMBERS))
    assert spec_in(tmp_path).input_names == NUMBERS
    assert answers(served(tmp_path), TABLE)["value"] == pytest.approx(list(model.predict(ROWS)), rel=1e-4)


@needs("onnxruntime", "onnx")
def test_a_graph_with_several_inputs_and_outputs_keeps_their_names(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("온도", "b")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("sum", "차이")]
    nodes = [
        helper.make_node("Add", ["온도", "b"], ["sum"]),
        helper.make_node("Sub", ["온도", "b"], ["차이"]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "g.onnx",
    )
    drafted(tmp_path, tmp_path / "g.onnx")
    shown = answers(served(tmp_path), pd.DataFrame({"온도": [3.0], "b": [1.0]}))
    assert shown == {"sum": [4.0], "차이": [2.0]}


@needs("onnxruntime")
def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x" * 100)
    with pytest.raises(DraftError, match=r"m.onnx is no complete ONNX model"):
        drafted(tmp_path, tmp_path / "m.onnx")

"""ONNX graphs: inputs and outputs are those of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from shared.columns import Array
from shared.errors import ArtifactError
from shared.specs import ModelSpec
from tests.support.artifacts import load, shown, version_from_file
from tests.support.frameworks import needs
from tests.support.specimens import declaration
from worker.predictors import library_versions

pytestmark = needs("onnx", "onnxruntime")

FLOAT, INT64, STRING = 1, 7, 8


def graph(
    path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], weights: Any = ()
) -> Path:
    """An ONNX file. `inputs`, `outputs`: name → (type, shape)."""
    import onnx
    from onnx import helper

    given, answered = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    made = helper.make_model(
        helper.make_graph(nodes, "g", given, answered),
        producer_name="line-tools",
        producer_version="3.1",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(made, path)
    return path


def node(*arguments: Any, **options: Any) -> Any:
    from onnx import helper

    return helper.make_node(*arguments, **options)


def serve(file: Path, folder: Path, **changes: Any) -> Any:
    spec: ModelSpec = declaration(framework="onnx", **changes)
    return load(version_from_file(spec, file, folder))


def in_process(file: Path, **feed: Array) -> list[Any]:
    import onnxruntime

    found: list[Any] = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, feed)
    return found


def test_features_are_one_matrix_and_answers_are_those_of_the_graph(tmp_path: Path) -> None:
    file = graph(
        tmp_path / "max.onnx",
        [node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=1)],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 1])},
    )
    inputs = [{"name": name, "type": "float", "example": 1.0} for name in "ab"]
    predictor = serve(file, tmp_path, inputs=inputs, outputs=[{"name": "most", "view": "value"}])
    columns = {"a": np.array([0.1, 2.0]), "b": np.array([0.2, 3.0])}
    (expected,) = in_process(file, x=np.array([[0.1, 0.2], [2, 3]], np.float32))
    assert shown(predictor, columns)["most"] == expected[:, 0].astype(np.float64).tolist()


def test_inputs_and_outputs_of_several_types_go_by_name(tmp_path: Path) -> None:
    file = graph(
        tmp_path / "mixed.onnx",
        [node("Identity", ["machine"], ["same"]), node("Add", ["count", "count"], ["double"])],
        {"machine": (STRING, ["n", 1]), "count": (INT64, ["n"])},
        {"same": (STRING, ["n", 1]), "double": (INT64, ["n"])},
    )
    predictor = serve(
        file,
        tmp_path,
        inputs=[
            {"name": "how many", "column": "count", "type": "int64", "example": 3},
            {"name": "machine", "type": "string", "nullable": True, "example": "A"},
        ],
        outputs=[
            {"name": "twice", "view": "value", "from": "double", "type": "int64"},
            {"name": "same", "view": "value", "type": "string"},
        ],
    )
    columns = {"how many": np.array([1, 2]), "machine": np.array(["A", None], object)}
    assert shown(predictor, columns) == {"twice": [2, 4], "same": ["A", ""]}


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_shows_its_probabilities_with_and_without_a_zipmap(tmp_path: Path, zipmap: bool) -> None:
    import skl2onnx

    rows, answers = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(rows, answers)
    made = skl2onnx.to_onnx(model, rows[:1].astype(np.float32), options={id(model): {"zipmap": zipmap}})
    (tmp_path / "iris.onnx").write_bytes(made.SerializeToString())
    inputs = [{"name": f"x{n}", "type": "float32", "example": 1.0} for n in range(4)]
    outputs = [{"name": "label", "view": "label"}, {"name": "p", "view": "probabilities"}]
    predictor = serve(
        tmp_path / "iris.onnx", tmp_path, inputs=inputs, outputs=outputs, classes=["a", "b", "c"]
    )
    float32 = rows.astype(np.float32)
    expected = in_process(tmp_path / "iris.onnx", X=float32)[1]
    matrix = np.array([list(row.values()) for row in expected]) if zipmap else expected
    answer = shown(predictor, {f"x{n}": float32[:, n] for n in range(4)})
    assert answer["p"] == matrix.astype(np.float64).tolist()
    assert answer["label"] == ["abc"[number] for number in model.predict(rows)]


def test_a_graph_with_a_fixed_number_of_rows_answers_any_number(tmp_path: Path) -> None:
    file = graph(
        tmp_path / "fixed.onnx",
        [node("Add", ["x", "x"], ["y"])],
        {"x": (FLOAT, [4, 3])},
        {"y": (FLOAT, [4, 3])},
    )
    inputs = [{"name": "x", "type": "float32", "shape": [3], "example": [1.0, 2.0, 3.0]}]
    predictor = serve(file, tmp_path, inputs=inputs, outputs=[{"name": "y", "view": "tensor", "shape": [3]}])
    for rows in (1, 4, 7):
        x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        assert shown(predictor, {"x": x})["y"] == (x * 2).tolist()


def test_logits_are_activated_as_declared(tmp_path: Path) -> None:
    file = graph(
        tmp_path / "logits.onnx",
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])},
    )
    inputs = [{"name": "x", "type": "float32", "shape": [2], "example": [1.0, 2.0]}]
    outputs = [{"name": "p", "view": "probabilities"}]
    predictor = serve(
        file, tmp_path, inputs=inputs, outputs=outputs, classes=["a", "b"], onnx={"activation": "softmax"}
    )
    answer = shown(predictor, {"x": np.array([[0.0, np.log(3)]], np.float32)})
    assert answer["p"] == [pytest.approx([0.25, 0.75], abs=1e-6)]


def test_the_manifest_names_producer_and_opset_and_no_library_that_copied_it(tmp_path: Path) -> None:
    file = graph(
        tmp_path / "m.onnx", [node("Identity", ["x"], ["y"])], {"x": (FLOAT, ["n"])}, {"y": (FLOAT, ["n"])}
    )
    stated = library_versions.stated_by("onnx", file)
    assert stated.formats == {"onnx ir": "8", "opset ai.onnx": "17", "line-tools": "3.1"}
    assert stated.versions == {}


def test_wrong_graphs_say_what_to_do(tmp_path: Path) -> None:
    file = graph(
        tmp_path / "m.onnx",
        [node("Identity", ["x"], ["y"])],
        {"x": (FLOAT, ["n", 5])},
        {"y": (FLOAT, ["n", 5])},
    )
    with pytest.raises(ArtifactError, match=r"one input 'x' of shape \(rows, 5\), and model\.toml decl"):
        serve(file, tmp_path / "a")
    tensor = [{"name": "x", "type": "float32", "shape": [4], "example": [0.0] * 4}]
    with pytest.raises(ArtifactError, match=r"has shape \[4\], and the graph's 'x' has \(rows, 5\)"):
        serve(file, tmp_path / "b", inputs=tensor)
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:40])
    with pytest.raises(ArtifactError, match=r"is no complete ONNX model .it ends too early.: copy it again"):
        serve(tmp_path / "cut.onnx", tmp_path / "c")
    other = graph(
        tmp_path / "two.onnx",
        [node("Add", ["left", "right"], ["y"])],
        {"left": (FLOAT, ["n"]), "right": (FLOAT, ["n"])},
        {"y": (FLOAT, ["n"])},
    )
    with pytest.raises(ArtifactError, match=r"takes 'left' of shape \(rows\), which is no input"):
        serve(other, tmp_path / "d")

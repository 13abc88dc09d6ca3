"""An ONNX file that ONNX Runtime cannot open says what to do; weights may be in a file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shared.errors import ArtifactError
from tests.support.drafts import answers, drafted, served
from tests.support.frameworks import needs
from worker.frameworks.onnx_sessions import open_session

pytestmark = needs("onnx", "onnxruntime")


def saved(path: Path, *, operator: str = "", opset: int = 17, ir_version: int = 8, **options: Any) -> Path:
    """A product with a matrix of ones, or an operator of Acme."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    row = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    node = (
        helper.make_node(operator, ["x"], ["y"], domain="com.acme")
        if operator
        else helper.make_node("MatMul", ["x", "w"], ["y"])
    )
    weights = [] if operator else [numpy_helper.from_array(np.ones((4, 3), np.float32), "w")]
    model = helper.make_model(
        helper.make_graph([node], "g", [row], [answer], weights),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.acme", 1)],
        ir_version=ir_version,
    )
    onnx.save(model, path, **options)
    return path


def apart(path: Path) -> Path:
    """With its weights in another file."""
    return saved(path, save_as_external_data=True, location="press.weights", size_threshold=0)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"opset": 99},
            r"m\.onnx has the operators of opset 99, .* export it with opset_version=\d+",
        ),
        (
            {"ir_version": 99},
            r"m\.onnx has the ONNX format 99, and this onnxruntime reads those up to \d+",
        ),
        (
            {"operator": "Press"},
            r"m\.onnx uses the operator com\.acme:Press, which this onnxruntime does not have",
        ),
    ],
)
def test_a_graph_beyond_this_runtime_says_how_to_export_it(
    tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ArtifactError, match=why):
        open_session(saved(tmp_path / "m.onnx", **options))


def test_weights_in_another_file_are_named_if_they_are_missing(tmp_path: Path) -> None:
    path = apart(tmp_path / "m.onnx")
    open_session(path)
    (tmp_path / "press.weights").unlink()
    with pytest.raises(ArtifactError, match=r"keeps its weights in the file 'press\.weights', which is not"):
        open_session(path)


def test_a_draft_takes_the_file_of_the_weights_along(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    made = drafted(tmp_path, apart(tmp_path / "training" / "m.onnx"))
    files = {path.name for path in (made.folder / "1.0.0").iterdir()}
    assert files == {"m.onnx", "press.weights", "manifest.json"}
    shown = answers(served(tmp_path), pd.DataFrame({"x": [[1.0, 2.0, 3.0, 4.0]]}))
    assert shown["values"] == [[10.0, 10.0, 10.0]]

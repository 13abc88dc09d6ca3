"""`takt models new` on networks that take images: the draft declares an image, with a file as its example."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.columns import of_rows
from shared.specs import ModelSpec
from tests.support.drafts import drafted, served, spec_in
from tests.support.frameworks import needs
from worker.models.drafting.artifact_facts import DraftError
from worker.models.drafting.image_inputs import image_table
from worker.predictors.image_files import decode
from worker.predictors.outputs import as_columns

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SIDE = 32


class Channels(torch.nn.Module):
    """A small network over images whose channels are first, or last."""

    def __init__(self, *, last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.last = last
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 30 * 30, 3)
        )

    def forward(self, image: torch.Tensor) -> Any:
        pixels = image.float() / 255 if image.dtype == torch.uint8 else image
        return self.layers(pixels.permute(0, 3, 1, 2) if self.last else pixels)


def rows_of(last: bool, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones((2, SIDE, SIDE, 3) if last else (2, 3, SIDE, SIDE), dtype=dtype)


def program(net: torch.nn.Module, rows: torch.Tensor, path: Path, *, fixed: bool = False) -> Path:
    sizes = None if fixed else ({0: torch.export.Dim("rows")},)
    torch.export.save(torch.export.export(net.eval(), (rows,), dynamic_shapes=sizes), path)
    return path


def photo(shade: int, form: str = "JPEG", side: int = 50) -> bytes:
    file = io.BytesIO()
    pixels = np.full((side, side, 3), shade, np.uint8)
    pixels[: side // 2, :, 0] = 250
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def answer(folder: Path, name: str, image: bytes) -> dict[str, Any]:
    predictor = served(folder)
    columns = as_columns(predictor.spec, predictor.predict(of_rows(predictor.spec, [{name: image}])))
    return {output.name: column[0] for output, column in zip(predictor.spec.outputs, columns, strict=True)}


def logits(net: torch.nn.Module, spec: ModelSpec, image: bytes) -> list[float]:
    assert spec.inputs[0].image is not None
    pixels = torch.from_numpy(np.array(decode(image, spec.inputs[0].image)))
    with torch.inference_mode():
        return list(net(pixels[None])[0].tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
@pytest.mark.parametrize("last", [False, True])
def test_a_tensor_of_pixels_is_an_image(tmp_path: Path, last: bool, dtype: torch.dtype) -> None:
    net = Channels(last=last)
    made = drafted(tmp_path, program(net, rows_of(last, dtype), tmp_path / "cnn.pt2"))
    spec = spec_in(tmp_path)
    image = spec.inputs[0].image
    assert image is not None
    kind = "uint8" if dtype is torch.uint8 else "float32"
    assert (image.height, image.width, image.channels, image.dtype) == (SIDE, SIDE, 3, kind)
    assert image.layout == ("hwc" if last else "chw")
    assert (made.folder / "example.png").is_file()
    assert 'example = "example.png"' in (made.folder / "model.toml").read_text()
    assert any("is taken for an image of 32 x 32 x 3" in note for note in made.notes)
    sent = photo(40)
    assert answer(tmp_path, "image", sent)["values"] == pytest.approx(logits(net, spec, sent), abs=1e-5)


def test_photographs_of_a_folder_are_the_golden_rows(tmp_path: Path) -> None:
    for number, kind in enumerate(("good", "scratch")):
        folder = tmp_path / "photos" / kind
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(photo(40 + 100 * number))
        (folder / "notes.txt").write_text("no image")
    path = program(Channels(), rows_of(False), tmp_path / "cnn.pt2")
    made = drafted(tmp_path, path, sample=tmp_path / "photos")
    assert {file.name for file in made.folder.glob("example*")} == {"example.jpg", "example-2.jpg"}
    assert made.golden == len(spec_in(tmp_path).golden) == 2
    assert any("--classes good,scratch" in note for note in made.notes)
    named = drafted(
        tmp_path, path, sample=tmp_path / "photos" / "good" / "a.jpg", classes=("a", "b", "c"), force=True
    )
    assert named.golden == 1
    assert sum(answer(tmp_path, "image", photo(90))["probabilities"]) == pytest.approx(1)


def test_a_script_is_tried_with_the_usual_sizes(tmp_path: Path) -> None:
    torch.jit.script(Channels().layers.eval()).save(tmp_path / "cnn.pt")  # type: ignore[no-untyped-call]
    drafted(tmp_path, tmp_path / "cnn.pt")
    image = spec_in(tmp_path).inputs[0].image
    assert image is not None
    assert image.shape == (3, SIDE, SIDE)


def test_a_program_for_one_image_runs_once_for_each(tmp_path: Path) -> None:
    net = Channels()
    made = drafted(tmp_path, program(net, rows_of(False)[:1], tmp_path / "cnn.pt2", fixed=True))
    assert any("exported for exactly 1 rows" in note for note in made.notes)
    predictor = served(tmp_path)
    photos = [photo(shade) for shade in (10, 90, 200)]
    rows = of_rows(predictor.spec, [{"image": one} for one in photos])
    found = as_columns(predictor.spec, predictor.predict(rows))[0]
    assert found == [pytest.approx(logits(net, predictor.spec, one), abs=1e-5) for one in photos]


@needs("onnxruntime", "onnx")
@pytest.mark.parametrize("sides", [(SIDE, SIDE), ("h", "w")])
def test_a_graph_over_images_is_drafted_too(tmp_path: Path, sides: tuple[int | str, ...]) -> None:
    import onnx
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, *sides])
    means = helper.make_tensor_value_info("means", TensorProto.FLOAT, ["n", 3, 1, 1])
    nodes = [helper.make_node("GlobalAveragePool", ["input"], ["means"])]
    graph = helper.make_graph(nodes, "g", [pixels], [means])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "g.onnx",
    )
    drafted(tmp_path, tmp_path / "g.onnx")
    image = spec_in(tmp_path).inputs[0].image
    assert image is not None
    assert image.height == (SIDE if sides == (SIDE, SIDE) else 224)
    found = np.asarray(answer(tmp_path, "input", photo(51, "PNG"))["values"]).reshape(3)
    assert found[1] == pytest.approx(51 / 255, abs=1e-3)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 8, 8), "float32"), ((5, 32, 32), "float32"), ((3, 32, 32), "int64"), ((32, 32), "float32")],
)
def test_other_tensors_are_no_images(shape: tuple[int, ...], dtype: str) -> None:
    assert image_table(shape, dtype) is None


def test_a_sample_without_an_image_is_refused(tmp_path: Path) -> None:
    path = program(Channels(), rows_of(False), tmp_path / "cnn.pt2")
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.jpg").write_text("<html>")
    for sample in (tmp_path / "empty", tmp_path / "page.jpg"):
        with pytest.raises(DraftError, match="has no JPEG or PNG image"):
            drafted(tmp_path, path, sample=sample)


def test_images_are_no_sample_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(3))
    rows = torch.ones(2, 5)
    path = program(torch.nn.Linear(5, 2), rows, tmp_path / "net.pt2")
    with pytest.raises(DraftError, match="the model has no input that is an image"):
        drafted(tmp_path, path, sample=tmp_path / "a.jpg")

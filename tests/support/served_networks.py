"""Networks of the table in docs/models.md that take other inputs than a row of numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared.columns import Array
from tests.support.served_models import FLOAT32_TOLERANCE, ROWS, Answers, Made

TENSORS = """
import torch

class Tensors(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes = torch.nn.Linear(2, 3)

    def forward(self, a, b, c, d):
        petal = torch.stack([c, d], dim=1)
        return self.sizes(torch.stack([a, b], dim=1)) + petal.sum(dim=1, keepdim=True) * self.sizes.bias
"""
SEQUENCE = """
[[inputs]]
name = "steps"
type = "float32"
shape = [-1, 2]
example = [[5.1, 3.5], [1.4, 0.2]]
"""
IMAGE = """
[[inputs]]
name = "photo"
type = "image"
image = { height = 16, width = 16, channels = 1, dtype = "float32", layout = "chw" }
example = "example.png"
"""
SIDE = 16


def several_tensors(home: Path) -> Made:
    import torch

    namespace: dict[str, Any] = {"__name__": "training"}
    exec(TENSORS, namespace)
    torch.manual_seed(2)
    net = namespace["Tensors"]().eval()
    torch.save(net.state_dict(), home / "model.pt")

    def answers(rows: Array) -> Array:
        columns = torch.from_numpy(rows.astype(np.float32)).unbind(dim=1)
        with torch.inference_mode():
            return np.asarray(torch.softmax(net(*columns), dim=1))

    options = '[pytorch]\nmodule = "network:Tensors"\nactivation = "softmax"\n'
    return Made(answers, options, {"network.py": TENSORS}, tolerance=FLOAT32_TOLERANCE)


def exported_over(home: Path, net: Any, rows: Any, sizes: dict[int, str]) -> Answers:
    """Export a network. → its probabilities, of a tensor."""
    import torch

    dims = ({axis: torch.export.Dim(name) for axis, name in sizes.items()},)
    torch.export.save(torch.export.export(net.eval(), (rows,), dynamic_shapes=dims), home / "model.pt2")

    def answers(tensor: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(torch.softmax(net(torch.from_numpy(tensor)), dim=1))

    return answers


def over_sequences(home: Path) -> Made:
    """Rows have one step or two, by the parity of their first number."""
    import torch

    class Steps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.layer(steps)).mean(dim=1)

    def steps_of(row: Array) -> Array:
        pairs = row.reshape(2, 2).astype(np.float32)
        return pairs[: 1 + int(row[0] * 10) % 2]

    torch.manual_seed(3)
    net = exported_over(home, Steps(), torch.ones(2, 4, 2), {0: "rows", 1: "steps"})
    return Made(
        lambda rows: np.concatenate([net(steps_of(row)[np.newaxis]) for row in rows]),
        '[pytorch]\nactivation = "softmax"\n',
        tolerance=FLOAT32_TOLERANCE,
        inputs=SEQUENCE,
        objects=lambda rows: [{"steps": steps_of(row).tolist()} for row in rows],
    )


def over_images(home: Path) -> Made:
    """The numbers of a row are the brightness of a quarter of the image."""
    import torch

    def pixels_of(row: Array) -> Array:
        grey = np.clip(row * 25, 0, 255).astype(np.uint8).reshape(2, 2)
        return np.kron(grey, np.ones((SIDE // 2, SIDE // 2), np.uint8))

    def file_of(row: Array) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels_of(row)).save(file, "PNG")
        return file.getvalue()

    torch.manual_seed(4)
    layers = (torch.nn.Conv2d(1, 4, 4, stride=4), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(64, 3))
    net = exported_over(home, torch.nn.Sequential(*layers), torch.ones(2, 1, SIDE, SIDE), {0: "rows"})
    (home / "example.png").write_bytes(file_of(ROWS[0]))
    return Made(
        lambda rows: net(
            np.stack([pixels_of(row) for row in rows])[:, np.newaxis].astype(np.float32) / np.float32(255)
        ),
        '[pytorch]\nactivation = "softmax"\n',
        tolerance=FLOAT32_TOLERANCE,
        inputs=IMAGE,
        objects=lambda rows: [{"photo": file_of(row)} for row in rows],
    )


NETWORKS: dict[tuple[str, str], Callable[[Path], Made]] = {
    ("pytorch", "… of several tensors"): several_tensors,
    ("pytorch", "… over sequences"): over_sequences,
    ("pytorch", "… over images"): over_images,
}
"""Framework and artifact, as in the table, → what makes the artifact."""

"""Image inputs of a draft: which tensors are images, and the files of their examples."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.images import PNG, media_type_of
from shared.specs import GoldenRow, Row
from worker.models.drafting.artifact_facts import DraftError
from worker.models.drafting.drafted_inputs import DraftInput

CHANNELS = (1, 3, 4)
LEAST_SIDE = 16
"""Pixels: a smaller tensor may as well be a matrix of measurements."""
USUAL_SIDE = 224
"""Height and width of an image whose size the file leaves open."""
MOST_SAMPLES = 20
_SUFFIXES = (".jpg", ".jpeg", ".png")


def image_table(shape: Sequence[int | None], dtype: str) -> dict[str, Any] | None:
    """The table `image` of a tensor with this shape per row; None: it is no image.

    `shape`: channels, height and width in one of the two usual orders; None is any length.
    """
    if dtype not in ("float32", "float16", "float64", "uint8") or len(shape) != 3:
        return None
    orders = {"chw": (shape[0], shape[1:]), "hwc": (shape[2], shape[:2])}
    for layout, (channels, sides) in orders.items():
        if channels in CHANNELS and all(side is None or side >= LEAST_SIDE for side in sides):
            height, width = (side or USUAL_SIDE for side in sides)
            pixels = "uint8" if dtype == "uint8" else "float32"
            sizes = {"height": height, "width": width, "channels": channels}
            return sizes | {"dtype": pixels, "layout": layout}
    return None


def made_up_image(image: Mapping[str, Any]) -> bytes:
    """A PNG file with gradients, of the size of the input. Raises DraftError without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DraftError("an image input needs Pillow: pip install 'takt-server[images]'") from error
    height, width = image["height"], image["width"]
    down, across = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [255 * down / height, 255 * across / width, 255 * (down + across) / (height + width)]
    planes.append(np.full((height, width), 255.0))
    pixels = np.stack(planes[: image["channels"]], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if image["channels"] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def is_of_images(path: Path) -> bool:
    """Whether a sample is an image, or a folder of images."""
    return path.is_dir() or path.suffix.lower() in _SUFFIXES


def sample_images(path: Path) -> list[bytes]:
    """The image, or images from all over the folder. Raises DraftError if there is none."""
    files = (
        sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
        if path.is_dir()
        else [path]
    )
    spread = files[:: max(1, len(files) // MOST_SAMPLES)][:MOST_SAMPLES]
    found = [file.read_bytes() for file in spread]
    images = [data for data in found if media_type_of(data)]
    if not images:
        raise DraftError(f"--sample: {path} has no JPEG or PNG image")
    return images


def rows_of_images(inputs: Sequence[DraftInput], images: Sequence[bytes]) -> list[Row]:
    """A row for each image; other inputs have their examples. Raises DraftError without an image input."""
    if not any(one.image for one in inputs):
        raise DraftError(
            "--sample: the model has no input that is an image; give a table with rows as in training"
        )
    return [{one.name: image if one.image else one.example for one in inputs} for image in images]


def class_folders(sample: Path) -> tuple[str, ...]:
    """A note about a folder with a folder of images for each class, as torchvision reads it."""
    names = sorted(one.name for one in sample.iterdir() if one.is_dir()) if sample.is_dir() else []
    return (
        (
            f"the sample has the folders {', '.join(names)}: if they are the classes, in this order, name "
            f"them with --classes {','.join(names)}",
        )
        if len(names) > 1
        else ()
    )


class ImageFiles:
    """The example images of a model, as files beside its model.toml."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._names: dict[bytes, str] = {}

    def of_input(self, one: DraftInput) -> DraftInput:
        """The input with the name of its example's file."""
        return replace(one, example=self._stored(one.example)) if isinstance(one.example, bytes) else one

    def of_golden(self, golden: GoldenRow) -> GoldenRow:
        inputs = {
            name: self._stored(value) if isinstance(value, bytes) else value
            for name, value in golden.inputs.items()
        }
        return golden.model_copy(update={"inputs": inputs})

    def _stored(self, image: bytes) -> str:
        """Write the file unless it exists. → its name"""
        if image not in self._names:
            ending = "png" if media_type_of(image) == PNG else "jpg"
            number = f"-{len(self._names) + 1}" if self._names else ""
            self._names[image] = f"example{number}.{ending}"
            (self._home / self._names[image]).write_bytes(image)
        return self._names[image]

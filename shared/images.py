"""Image inputs: what a spec declares about them, and checks that need no image library.

Images travel as they are, JPEG or PNG, from the client to the worker, which decodes them
(`worker/predictors/image_decoder.py`).
"""

from __future__ import annotations

import math
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

JPEG, PNG = "image/jpeg", "image/png"
MEDIA_TYPES = (JPEG, PNG)
DESCRIPTION = "a JPEG or PNG image in Base64"

_SIGNATURES = {b"\xff\xd8\xff": JPEG, b"\x89PNG\r\n\x1a\n": PNG}
_DATA_URL = "data:image/"
_ENDS = {JPEG: b"\xff\xd9", PNG: b"IEND"}
_TAIL_BYTES = 4096
"""Bytes at the end of a file that may follow its end mark: some cameras append their own."""

SMALLEST_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
"""A grey pixel: the example of an image in documentation, which a real image would swell."""


class ImageOptions(BaseModel):
    """The array that an image becomes for the model, and the images that are accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(gt=0, le=16_384, description="pixels of the array")
    width: int = Field(gt=0, le=16_384, description="pixels of the array")
    channels: Literal[1, 3, 4] = Field(3, description="1: grey, 3: RGB, 4: RGB and alpha")
    dtype: Literal["uint8", "float32"] = Field("uint8", description="uint8: 0 to 255; float32: 0 to `scale`")
    layout: Literal["hwc", "chw"] = Field("hwc", description="order of height, width and channels")
    resize: Literal["exact", "stretch", "crop", "pad"] = Field(
        "stretch",
        description="for an image of another size; exact: refuse it; stretch: scale each side; crop: scale "
        "until it covers, then cut the middle out; pad: scale until it fits, then fill with black",
    )
    reduced_jpeg: bool = Field(
        False,
        description="decode a JPEG at 1/2, 1/4 or 1/8 of its size where that still covers the array: several "
        "times faster for large photographs; pixels differ slightly from those of a full decode",
    )
    scale: float = Field(
        1.0, gt=0, description="value of a full pixel (float32): 1 for 0 to 1, 255 for 0 to 255"
    )
    mean: tuple[float, ...] = Field((), description="subtracted from each channel (float32)")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field((), description="divides each channel (float32)")
    max_bytes: int = Field(10 * 2**20, gt=0, description="largest accepted file")
    max_pixels: int = Field(50_000_000, gt=0, description="largest accepted image, height times width")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale != 1 and self.dtype != "float32":
            raise ValueError("scale: needs dtype = 'float32'")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and self.dtype != "float32":
                raise ValueError(f"{name}: needs dtype = 'float32'")
            if values and len(values) != self.channels:
                raise ValueError(f"{name}: has {len(values)} values for {self.channels} channels")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the array of an image."""
        if self.layout == "chw":
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels

    @property
    def array_bytes(self) -> int:
        """Size of the array of an image."""
        return math.prod(self.shape) * (4 if self.dtype == "float32" else 1)

    def problem(self, data: bytes) -> str | None:
        """Why a file is not accepted, as far as its bytes show without decoding; None: no problem."""
        if len(data) > self.max_bytes:
            return f"is larger than {self.max_bytes} bytes"
        kind = media_type_of(data)
        if kind is None:
            return "is empty" if not data else "is neither JPEG nor PNG"
        if _ENDS[kind] not in data[-_TAIL_BYTES:]:
            return "is cut off: its end mark is missing"
        return None


def media_type_of(data: bytes) -> str | None:
    """The media type by the first bytes of a file; None: neither JPEG nor PNG."""
    return next((kind for mark, kind in _SIGNATURES.items() if data.startswith(mark)), None)


def from_base64(text: str) -> bytes | None:
    """The bytes of a Base64 text (RFC 4648, also as a `data:image/…` URL); None: it is not Base64."""
    if text.startswith(_DATA_URL):
        text = text.partition(",")[2]
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        return None


def with_image_files(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A model.toml in which the examples and golden rows of image inputs are files of `folder`, with the
    content of these files in place of their names. The document is changed.

    Raises ValueError if a file cannot be read.
    """
    for place, name, holder, key in _named_files(document):
        holder[key] = _content(folder, name, place)
    return document


def _named_files(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Each name of an image file: its place in the document, the name, and the table and key that hold it."""
    inputs = [one for one in _tables(document.get("inputs")) if one.get("type") == "image"]
    for one in inputs:
        if isinstance(example := one.get("example"), str):
            yield f"inputs.{one.get('name')}.example", example, one, "example"
    for number, golden in enumerate(_tables(document.get("golden"))):
        (row,) = _tables([golden.get("inputs")]) or ({},)
        for name in [str(one.get("name")) for one in inputs]:
            if isinstance(row.get(name), str):
                yield f"golden[{number}].inputs.{name}", row[name], row, name


def _tables(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _content(folder: Path, name: str, place: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{place}: {name!r} is outside the model's folder")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{place}: {name!r} cannot be read: {error.strerror}") from error

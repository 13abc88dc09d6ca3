"""Decodes image inputs in threads beside the engine, so that decoding and predicting overlap.

A column of images holds files. `begin` replaces files by futures of their arrays, and `decoded` waits for
these futures. A column without futures is decoded when it is needed.
"""

from __future__ import annotations

import io
import os
from collections.abc import MutableSequence, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError, InvalidInputError
from shared.images import ImageOptions
from shared.input_specs import InputSpec
from shared.specs import ModelSpec

if TYPE_CHECKING:
    from PIL.Image import Image

Decoded: TypeAlias = "Future[Array]"
_FULL = 255.0
"""The value of a full pixel of 8 bits."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


class ImageDecoder:
    """Decodes the image inputs of a model."""

    def __init__(self, spec: ModelSpec) -> None:
        """Raises ArtifactError if Pillow is not installed."""
        _require_pillow(spec)
        self._images = [(place, field) for place, field in enumerate(spec.inputs) if field.image]

    def begin_entry(self, columns: Sequence[Any]) -> None:
        """Begin to decode the images of an online entry, whose wire columns are changed."""
        for place, field in self._images:
            _begin(columns[place], 0, len(columns[place]), field)

    def begin(self, columns: Columns, start: int, stop: int) -> None:
        """Begin to decode the rows from `start` to `stop`, in place."""
        for _, field in self._images:
            column: Any = columns[field.name]  # an array of objects is a mutable sequence
            _begin(column, start, min(stop, len(column)), field)

    def release(self, columns: Columns, start: int, stop: int) -> None:
        """Free the arrays of rows that are done."""
        for _, field in self._images:
            columns[field.name][start:stop] = None

    def decoded(self, columns: Columns) -> Columns:
        """The columns with an array for each image input: (rows, *shape) of its dtype.

        Raises InvalidInputError if an image cannot be decoded.
        """
        return columns | {field.name: _stacked(field, columns[field.name]) for _, field in self._images}


def _begin(files: MutableSequence[Any], start: int, stop: int, field: InputSpec) -> None:
    for place in range(start, stop):
        if isinstance(files[place], bytes):
            files[place] = _pool(os.getpid()).submit(_array_of, files[place], field)


def _stacked(field: InputSpec, files: Array) -> Array:
    assert field.image is not None
    if len(files) > 1:
        files = files.copy()
        _begin(files, 0, len(files), field)  # type: ignore[arg-type]  # an array of objects
    stacked = np.zeros((len(files), *field.image.shape), dtype=field.image.dtype)
    for place, one in enumerate(files):
        if one is not None:  # a missing image is black
            stacked[place] = one.result() if isinstance(one, Future) else _array_of(one, field)
    return stacked


@lru_cache(maxsize=1)
def _pool(_process: int) -> ThreadPoolExecutor:
    """The threads of this process; a fork has none of its parent's threads. Pillow decodes and resizes
    without the GIL."""
    return ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)), thread_name_prefix="images")


def _array_of(data: bytes, field: InputSpec) -> Array:
    assert field.image is not None
    try:
        return decode(data, field.image)
    except InvalidInputError as error:
        raise InvalidInputError(f"{field.name}: {error.detail}") from error


def decode(data: bytes, options: ImageOptions) -> Array:
    """The array of a JPEG or PNG file. The orientation in EXIF is ignored, as Pillow ignores it.

    Raises InvalidInputError if the file is damaged, too large, or has more than 8 bits per channel.
    """
    from PIL import Image, UnidentifiedImageError

    if problem := options.problem(data):
        raise InvalidInputError(problem)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check(image, options)
            if options.reduced_jpeg:
                image.draft(None, (options.width, options.height))
            return _prepared(_resized(image.convert(_MODES[options.channels]), options), options)
    except Image.DecompressionBombError:
        raise InvalidInputError(f"has more than {options.max_pixels} pixels") from None
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InvalidInputError(f"cannot be decoded: {error}") from error


def _check(image: Image, options: ImageOptions) -> None:
    width, height = image.size
    if width * height > options.max_pixels:
        raise InvalidInputError(f"has {width} × {height} pixels; at most {options.max_pixels} are accepted")
    if image.mode not in _EIGHT_BITS:
        raise InvalidInputError(f"has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
    if options.resize == "exact" and image.size != (options.width, options.height):
        raise InvalidInputError(
            f"has {width} × {height} pixels, but the model takes {options.width} × {options.height}"
        )


def _resized(image: Image, options: ImageOptions) -> Image:
    from PIL import ImageOps
    from PIL.Image import Resampling

    size = (options.width, options.height)
    if image.size == size:
        return image
    match options.resize:
        case "crop":
            return ImageOps.fit(image, size, Resampling.BILINEAR)
        case "pad":
            return ImageOps.pad(image, size, Resampling.BILINEAR)
        case _:
            return image.resize(size, Resampling.BILINEAR)


def _prepared(image: Image, options: ImageOptions) -> Array:
    pixels: Array = np.asarray(image).reshape(options.height, options.width, options.channels)
    if options.dtype == "float32":
        pixels = pixels.astype(np.float32)
        if options.scale != _FULL:
            pixels = pixels / np.float32(_FULL / options.scale)
        if options.mean:
            pixels = pixels - np.array(options.mean, np.float32)
        if options.std:
            pixels = pixels / np.array(options.std, np.float32)
    return pixels.transpose(2, 0, 1) if options.layout == "chw" else pixels


def _require_pillow(spec: ModelSpec) -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise ArtifactError(
            f"{spec.name}: its image inputs need Pillow: pip install 'takt-server[images]'"
        ) from None
